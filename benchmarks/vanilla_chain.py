"""The chain a newcomer would write from TFX's own tutorials, for `benchmarks/pipeline.py` to compare with.

ImportExampleGen, StatisticsGen, SchemaGen, ExampleValidator, Transform that decodes to materialised floats,
Trainer, Evaluator and Pusher under LocalDagRunner, all with default settings. Network, augmentation, batch size,
number of steps and the items in each split are ours, so that only the chain differs.

Usage: `python -m benchmarks.vanilla_chain RECORDS_DIR OUT_DIR STEPS BATCH_SIZE`; RECORDS_DIR has `train` and `eval`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
import tensorflow_model_analysis as tfma
import tensorflow_transform as tft
from tfx import v1 as tfx
from tfx_bsl.public import tfxio

from applications import discovery
from schemas import features
from trainer import models
from trainer.augment import augment, crop

APPLICATION = "satellite/landcover"
_FLOATS = "image_floats"
_SIDE_PX = 64
VALIDATION_STEPS = 5  # what TFX's tutorials take


def preprocessing_fn(inputs: dict[str, Any]) -> dict[str, Any]:
    """Decodes every image to floats, which Transform then writes out."""
    pixels = tf.map_fn(
        lambda encoded: tf.ensure_shape(tf.io.decode_jpeg(encoded, channels=3), [_SIDE_PX, _SIDE_PX, 3]),
        tf.reshape(inputs[features.IMAGE], [-1]),
        fn_output_signature=tf.uint8,
    )
    return {
        _FLOATS: tf.cast(pixels, tf.float32),
        features.LABEL_ID: tf.reshape(inputs[features.LABEL_ID], [-1]),
    }


class Exported(tf.Module):
    """The SavedModel: transform graph and network behind `serving_default`."""

    def __init__(self, model: keras.Model, transform_output: tft.TFTransformOutput) -> None:
        super().__init__()
        self.model = model
        self.layer = transform_output.transform_features_layer()
        self.spec = {features.IMAGE: transform_output.raw_feature_spec()[features.IMAGE]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers serialized Examples with probabilities."""
        transformed = self.layer(tf.io.parse_example(examples, self.spec))
        return {"probabilities": tf.nn.softmax(self.model(transformed[_FLOATS], training=False))}


def run_fn(fn_args: tfx.components.FnArgs) -> None:
    """Trains our network on the materialised floats for the given number of steps and exports it."""
    application = discovery.load(APPLICATION)
    settings = application.train
    transform_output = tft.TFTransformOutput(fn_args.transform_output)
    batch_size = int(fn_args.custom_config["batch_size"])
    options = tfxio.TensorFlowDatasetOptions(batch_size=batch_size, label_key=features.LABEL_ID)
    schema = transform_output.transformed_metadata.schema
    batches = fn_args.data_accessor.tf_dataset_factory(fn_args.train_files, options, schema).repeat()
    withheld = fn_args.data_accessor.tf_dataset_factory(fn_args.eval_files, options, schema).repeat()
    classes = len(application.classes)

    def prepared(inputs: dict[str, tf.Tensor], label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Crops and changes a batch: float32 `[batch, height, width, 3]`, 0 to 255, and one-hot labels."""
        pixels = tf.cast(tf.ensure_shape(inputs[_FLOATS], [None, _SIDE_PX, _SIDE_PX, 3]), tf.uint8)
        images = augment(crop(pixels, settings.crop), settings.augment)
        return tf.cast(images, tf.float32), tf.one_hot(tf.reshape(label, [-1]), classes)

    def unchanged(inputs: dict[str, tf.Tensor], label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Passes a batch of the withheld split on as `prepared` gives it, but whole."""
        return inputs[_FLOATS], tf.one_hot(tf.reshape(label, [-1]), classes)

    model = models.build((_SIDE_PX, _SIDE_PX, 3), classes, settings)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=settings.label_smoothing)
    model.compile(
        keras.optimizers.AdamW(settings.learning_rate, weight_decay=settings.weight_decay), loss, metrics=["accuracy"]
    )
    model.fit(
        batches.map(prepared),
        steps_per_epoch=fn_args.train_steps,
        validation_data=withheld.map(unchanged),
        validation_steps=fn_args.eval_steps,
        verbose=2,
    )
    exported = Exported(model, transform_output)
    tf.saved_model.save(exported, fn_args.serving_model_dir, signatures={"serving_default": exported.serve})


def create_pipeline(records: Path, out: Path, steps: int, batch_size: int) -> tfx.dsl.Pipeline:
    """Wires the chain as the tutorials do."""
    examples = tfx.components.ImportExampleGen(
        input_base=str(records),
        input_config=tfx.proto.Input(
            splits=[tfx.proto.Input.Split(name=name, pattern=f"{name}/*") for name in ("train", "eval")]
        ),
    )
    statistics = tfx.components.StatisticsGen(examples=examples.outputs["examples"])
    schema = tfx.components.SchemaGen(statistics=statistics.outputs["statistics"])
    validator = tfx.components.ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
    )
    transform = tfx.components.Transform(
        examples=examples.outputs["examples"],
        schema=schema.outputs["schema"],
        preprocessing_fn="benchmarks.vanilla_chain.preprocessing_fn",
    )
    trainer = tfx.components.Trainer(
        run_fn="benchmarks.vanilla_chain.run_fn",
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema.outputs["schema"],
        train_args=tfx.proto.TrainArgs(num_steps=steps),
        eval_args=tfx.proto.EvalArgs(num_steps=VALIDATION_STEPS),
        custom_config={"batch_size": batch_size},
    )
    accuracy = tfma.MetricThreshold(value_threshold=tfma.GenericValueThreshold(lower_bound={"value": 0.0}))
    metric = tfma.MetricConfig(class_name="SparseCategoricalAccuracy", threshold=accuracy)
    evaluator = tfx.components.Evaluator(
        examples=examples.outputs["examples"],
        model=trainer.outputs["model"],
        eval_config=tfma.EvalConfig(
            model_specs=[tfma.ModelSpec(label_key=features.LABEL_ID, prediction_key="probabilities")],
            slicing_specs=[tfma.SlicingSpec()],
            metrics_specs=[tfma.MetricsSpec(metrics=[metric])],
        ),
    )
    pusher = tfx.components.Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory=str(out / "serving"))
        ),
    )
    return tfx.dsl.Pipeline(
        pipeline_name="vanilla",
        pipeline_root=str(out / "artifacts"),
        components=[examples, statistics, schema, validator, transform, trainer, evaluator, pusher],
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(out / "metadata.sqlite")
        ),
    )


def main(arguments: list[str]) -> None:
    """Runs the chain."""
    records, out, steps, batch_size = arguments
    tfx.orchestration.LocalDagRunner().run(create_pipeline(Path(records), Path(out), int(steps), int(batch_size)))


if __name__ == "__main__":
    main(sys.argv[1:])
