"""The TensorFlow ops an exported model may contain, by what they do; anything not named here is refused.

To allow another op: it must compute its outputs from its inputs and the model's own variables and tables alone,
read or write no file, start no process, run no Python, reach no network and write to no log. Add it below.
"""

from __future__ import annotations

_GROUPS = {
    "graph": """
        Assert CheckNumerics CheckNumericsV2 Const ControlTrigger DisableCopyOnRead EnsureShape FakeParam
        GuaranteeConst Identity IdentityN NoOp Placeholder PlaceholderV2 PlaceholderWithDefault PreventGradient
        Snapshot StopGradient
        """,
    "control flow and calls": """
        Case Enter Exit For If LoopCond MapDefun Merge NextIteration PartitionedCall RefEnter RefExit
        RefIdentity RefMerge RefNextIteration RefSelect RefSwitch StatefulPartitionedCall StatelessCase
        StatelessIf StatelessWhile Switch SymbolicGradient ToBool While
        """,
    "arithmetic": """
        Abs AccumulateNV2 Acos Acosh Add AddN AddV2 Angle ApproximateEqual Asin Asinh Atan Atan2 Atanh BesselI0
        BesselI0e BesselI1 BesselI1e BesselJ0 BesselJ1 BesselK0 BesselK0e BesselK1 BesselK1e BesselY0 BesselY1
        Betainc BitwiseAnd BitwiseOr BitwiseXor Cast Ceil ClipByValue Complex ComplexAbs Conj Cos Cosh Cross
        Cumprod Cumsum CumulativeLogsumexp Dawsn Digamma Div DivNoNan Equal Erf Erfc Erfinv EuclideanNorm Exp
        Expint Expm1 Floor FloorDiv FloorMod FresnelCos FresnelSin Greater GreaterEqual Igamma Igammac Imag Inv
        Invert IsFinite IsInf IsNan LeftShift Less LessEqual Lgamma Log Log1p LogicalAnd LogicalNot LogicalOr
        Maximum Minimum Mod Mul MulNoNan Ndtri Neg NextAfter NotEqual Polygamma PopulationCount Pow Real RealDiv
        Reciprocal RightShift Rint Round Rsqrt Sign Sin Sinh Spence Sqrt Square SquaredDifference Sub Tan Tanh
        TruncateDiv TruncateMod Xdivy Xlog1py Xlogy Zeta
        """,
    "reductions and sorting": """
        All Any ApproxTopK ArgMax ArgMin Bincount Bucketize DenseBincount HistogramFixedWidth InTopK InTopKV2
        LowerBound Max Mean Min NthElement Prod RaggedBincount SegmentMax SegmentMaxV2 SegmentMean SegmentMin
        SegmentMinV2 SegmentProd SegmentProdV2 SegmentSum SegmentSumV2 SparseBincount Sum TopK TopKV2 Unique
        UniqueV2 UniqueWithCounts UniqueWithCountsV2 UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd
        UnsortedSegmentSum UpperBound
        """,
    "arrays": """
        BatchMatrixBandPart BatchMatrixDiag BatchMatrixDiagPart BatchMatrixSetDiag BatchToSpace BatchToSpaceND
        Bitcast BroadcastArgs BroadcastGradientArgs BroadcastTo Concat ConcatOffset ConcatV2 ConjugateTranspose
        DeepCopy DepthToSpace Diag DiagPart DynamicPartition DynamicStitch EditDistance Empty ExpandDims Fill
        Fingerprint Gather GatherNd GatherV2 InplaceAdd InplaceSub InplaceUpdate InvertPermutation LinSpace
        ListDiff MatrixBandPart MatrixDiag MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3 MatrixDiagV2
        MatrixDiagV3 MatrixSetDiag MatrixSetDiagV2 MatrixSetDiagV3 MirrorPad OneHot OnesLike Pack Pad PadV2
        ParallelConcat ParallelDynamicStitch Range Rank Reshape Reverse ReverseSequence ReverseV2 Roll ScatterNd
        ScatterNdNonAliasingAdd Select SelectV2 Shape ShapeN Size Slice SpaceToBatch SpaceToBatchND SpaceToDepth
        Split SplitV Squeeze StridedSlice TensorScatterAdd TensorScatterMax TensorScatterMin TensorScatterSub
        TensorScatterUpdate TensorStridedSliceUpdate Tile Transpose UnravelIndex Unpack Where ZerosLike
        """,
    "linear algebra and spectra": """
        BandedTriangularSolve BatchMatMul BatchMatMulV2 BatchMatMulV3 Cholesky Eig Einsum FFT FFT2D FFT3D FFTND
        IFFT IFFT2D IFFT3D IFFTND IRFFT IRFFT2D IRFFT3D IRFFTND LogMatrixDeterminant Lu MatMul MatrixDeterminant
        MatrixExponential MatrixInverse MatrixLogarithm MatrixSolve MatrixSolveLs MatrixSquareRoot
        MatrixTriangularSolve Qr RFFT RFFT2D RFFT3D RFFTND SelfAdjointEig SelfAdjointEigV2 SparseMatMul Svd
        TridiagonalMatMul TridiagonalSolve
        """,
    "networks": """
        AvgPool AvgPool3D BatchNormWithGlobalNormalization BiasAdd BiasAddV1 BlockLSTM BlockLSTMV2 Conv Conv2D
        Conv2DBackpropInput Conv2DBackpropInputV2 Conv3D Conv3DBackpropInput Conv3DBackpropInputV2 CudnnRNN
        CudnnRNNV2 CudnnRNNV3 DataFormatDimMap DataFormatVecPermute DepthwiseConv2dNative Dequantize Dilation2D
        Elu FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel FractionalAvgPool
        FractionalMaxPool FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 FusedPadConv2D
        FusedResizeAndPadConv2D GRUBlockCell L2Loss LRN LSTMBlockCell LeakyRelu LogSoftmax MaxPool MaxPool3D
        MaxPoolV2 MaxPoolWithArgmax QuantizeAndDequantize QuantizeAndDequantizeV2 QuantizeAndDequantizeV3
        QuantizeAndDequantizeV4 QuantizeV2 Relu Relu6 Selu Sigmoid Softmax SoftmaxCrossEntropyWithLogits
        Softplus Softsign SparseSoftmaxCrossEntropyWithLogits
        """,
    "gradients, which an export keeps for functions that define their own": """
        AvgPool3DGrad AvgPoolGrad BiasAddGrad Conv2DBackpropFilter Conv2DBackpropFilterV2 Conv3DBackpropFilter
        Conv3DBackpropFilterV2 DepthwiseConv2dNativeBackpropFilter DepthwiseConv2dNativeBackpropInput EluGrad
        FakeQuantWithMinMaxArgsGradient FakeQuantWithMinMaxVarsGradient
        FakeQuantWithMinMaxVarsPerChannelGradient FusedBatchNormGrad FusedBatchNormGradV2 FusedBatchNormGradV3
        InvGrad LRNGrad LeakyReluGrad MaxPool3DGrad MaxPoolGrad MaxPoolGradV2 MaxPoolGradWithArgmax
        MirrorPadGrad QuantizeAndDequantizeV4Grad ReciprocalGrad Relu6Grad ReluGrad ResizeBicubicGrad
        ResizeBilinearGrad ResizeNearestNeighborGrad RsqrtGrad SeluGrad SigmoidGrad SoftplusGrad SoftsignGrad
        SqrtGrad StridedSliceGrad TanhGrad
        """,
    "images": """
        AdjustContrast AdjustContrastv2 AdjustHue AdjustSaturation CombinedNonMaxSuppression CropAndResize
        DecodeAndCropJpeg DecodeBmp DecodeGif DecodeImage DecodeJpeg DecodePng DecodeWebP DrawBoundingBoxes
        DrawBoundingBoxesV2 EncodeJpeg EncodeJpegVariableQuality EncodePng ExtractGlimpse ExtractGlimpseV2
        ExtractImagePatches ExtractJpegShape ExtractVolumePatches GenerateBoundingBoxProposals HSVToRGB
        ImageProjectiveTransformV2 ImageProjectiveTransformV3 NonMaxSuppression NonMaxSuppressionV2
        NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5 NonMaxSuppressionWithOverlaps RGBToHSV
        ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor ScaleAndTranslate
        """,
    "sound": "AudioSpectrogram DecodeWav EncodeWav Mfcc",
    "text and parsing": """
        AsString DecodeBase64 DecodeCSV DecodeCompressed DecodeJSONExample DecodePaddedRaw DecodeRaw
        EncodeBase64 ParseExample ParseExampleV2 ParseSequenceExample ParseSequenceExampleV2 ParseSingleExample
        ParseSingleSequenceExample ParseTensor ReduceJoin RegexFullMatch RegexReplace SerializeTensor
        StaticRegexFullMatch StaticRegexReplace StringFormat StringJoin StringLength StringLower StringNGrams
        StringSplit StringSplitV2 StringStrip StringToHashBucket StringToHashBucketFast StringToHashBucketStrong
        StringToNumber StringUpper Substr UnicodeDecode UnicodeDecodeWithOffsets UnicodeEncode UnicodeScript
        UnicodeTranscode UnsortedSegmentJoin
        """,
    "sparse and ragged": """
        DenseCountSparseOutput DenseToDenseSetOperation DenseToSparseSetOperation DeserializeManySparse
        DeserializeSparse RaggedCountSparseOutput RaggedCross RaggedFillEmptyRows RaggedGather RaggedRange
        RaggedTensorFromVariant RaggedTensorToSparse RaggedTensorToTensor RaggedTensorToVariant
        SerializeManySparse SerializeSparse SetSize SparseAdd SparseConcat SparseCountSparseOutput SparseCross
        SparseCrossHashed SparseCrossV2 SparseDenseCwiseAdd SparseDenseCwiseDiv SparseDenseCwiseMul
        SparseFillEmptyRows SparseReduceMax SparseReduceMaxSparse SparseReduceSum SparseReduceSumSparse
        SparseReorder SparseReshape SparseSegmentMean SparseSegmentMeanWithNumSegments SparseSegmentSqrtN
        SparseSegmentSqrtNWithNumSegments SparseSegmentSum SparseSegmentSumWithNumSegments SparseSlice
        SparseSoftmax SparseSparseMaximum SparseSparseMinimum SparseSplit SparseTensorDenseAdd
        SparseTensorDenseMatMul SparseToDense SparseToSparseSetOperation
        """,
    "lists": """
        EmptyTensorList EmptyTensorMap TensorArrayCloseV3 TensorArrayConcatV3 TensorArrayGatherV3
        TensorArrayReadV3 TensorArrayScatterV3 TensorArraySizeV3 TensorArraySplitV3 TensorArrayV3
        TensorArrayWriteV3 TensorListConcat TensorListConcatLists TensorListConcatV2 TensorListElementShape
        TensorListFromTensor TensorListGather TensorListGetItem TensorListLength TensorListPopBack
        TensorListPushBack TensorListPushBackBatch TensorListReserve TensorListResize TensorListScatter
        TensorListScatterIntoExistingList TensorListScatterV2 TensorListSetItem TensorListSplit TensorListStack
        TensorMapErase TensorMapHasKey TensorMapInsert TensorMapLookup TensorMapSize TensorMapStackKeys
        """,
    "the model's own variables": """
        Assign AssignAdd AssignAddVariableOp AssignSub AssignSubVariableOp AssignVariableOp DestroyResourceOp
        IsVariableInitialized ReadVariableOp ResourceGather ResourceGatherNd ResourceScatterAdd
        ResourceScatterNdUpdate ResourceScatterUpdate ResourceStridedSliceAssign VarHandleOp VarIsInitializedOp
        Variable VariableShape VariableV2
        """,
    "the model's own tables": """
        AnonymousHashTable AnonymousMutableDenseHashTable AnonymousMutableHashTable HashTable HashTableV2
        InitializeTable InitializeTableV2 LookupTableExport LookupTableExportV2 LookupTableFind
        LookupTableFindV2 LookupTableImport LookupTableImportV2 LookupTableInsertV2 LookupTableRemoveV2
        LookupTableSize LookupTableSizeV2 MutableDenseHashTableV2 MutableHashTable MutableHashTableV2
        """,
    "datasets made of tensors": """
        BatchDataset BatchDatasetV2 ConcatenateDataset DatasetCardinality DatasetToSingleElement FilterDataset
        FinalizeDataset FlatMapDataset IgnoreErrorsDataset InterleaveDataset MapAndBatchDataset MapDataset
        OptionsDataset PaddedBatchDatasetV2 ParallelBatchDataset ParallelMapDataset ParallelMapDatasetV2
        PrefetchDataset RangeDataset ReduceDataset RepeatDataset ScanDataset ShuffleDataset SkipDataset
        SparseTensorSliceDataset TakeDataset TakeWhileDataset TensorDataset TensorSliceDataset UnbatchDataset
        WindowDataset ZipDataset OptionalFromValue OptionalGetValue OptionalHasValue OptionalNone
        """,
    "random numbers": """
        Multinomial ParameterizedTruncatedNormal RandomGamma RandomIndexShuffle RandomPoissonV2 RandomShuffle
        RandomStandardNormal RandomUniform RandomUniformInt RngReadAndSkip RngSkip SobolSample
        StatefulStandardNormalV2 StatefulTruncatedNormal StatefulUniform StatefulUniformInt StatelessMultinomial
        StatelessRandomBinomial StatelessRandomGammaV2 StatelessRandomGammaV3 StatelessRandomGetAlg
        StatelessRandomGetKeyCounter StatelessRandomGetKeyCounterAlg StatelessRandomNormal
        StatelessRandomNormalV2 StatelessRandomUniform StatelessRandomUniformInt StatelessRandomUniformIntV2
        StatelessRandomUniformV2 StatelessShuffle StatelessTruncatedNormal StatelessTruncatedNormalV2
        TruncatedNormal
        """,
}

ALLOWED = frozenset(name for names in _GROUPS.values() for name in names.split())

# What every SavedModel does to save and load its own variables; allowed there and nowhere else.
SAVER_ONLY = frozenset(
    {"MergeV2Checkpoints", "Restore", "RestoreSlice", "RestoreV2", "Save", "SaveSlices", "SaveV2", "ShardedFilename"}
)

# Fill a table from a text file; allowed where the file is one of the model's own assets and nowhere else.
ASSET_ONLY = frozenset({"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"})

# Why others are refused, by the first pattern that matches the whole name.
REFUSED = (
    (r"(Eager)?PyFunc(Stateless)?|GeneratorDataset", "runs Python code of the machine that serves"),
    (
        r"ReadFile|WriteFile|MatchingFiles|.*Reader(V2)?|ReaderRead.*|LMDBDataset|SqlDataset|.*RecordDataset(V2)?"
        r"|TextLineDataset|.*CSVDataset(V2)?|MatchingFilesDataset|.*(Load|Save|Snapshot|Cache)Dataset(V2)?|DatasetToTFRecord"
        r"|RecordInput|ImmutableConst|LoadAndRemapMatrix|GenerateVocabRemapping|.*Snapshot.*Dataset.*|.*SummaryFileWriter"
        r"|FixedUnigramCandidateSampler|DistributedSave|FileSystemSetConfiguration|Experimental(CSV|LMDB|Sql|MatchingFiles|DatasetToTFRecord).*",
        "reads or writes files of the machine that serves",
    ),
    (r".*Summar.*|PrintV?2?|Debug.*|ImportEvent|.*Stats.*", "writes to logs or files beside its answer"),
    (
        r"Rpc.*|TryRpc|DataService.*|RemoteCall|_?(Host)?(Send|Recv)|Collective.*|Nccl.*|CreateSummaryDbWriter|RegisterDataset.*",
        "talks to other machines",
    ),
    (r"Abort|SleepDataset|ExperimentalSleepDataset|WorkerHeartbeat", "can stop or stall the server"),
    (r"Xla.*|TPU.*|.*TPU.*", "hides what it computes in a compiled program, or needs a device that is not there"),
    (
        r".*(Queue|Barrier|Stage|Unstage|Mutex|Accumulator|Iterator|Session).*",
        "keeps state between one request and the next",
    ),
)
