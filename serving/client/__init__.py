"""Clients of a model server: TensorFlow Serving or the embedded one, over gRPC or REST, waiting or asynchronous.

    with Client("localhost:8500") as client:
        for answer in client.ask("satellite-landcover", [Path("chip.jpg")]):
            print(answer.name, answer.label, answer.score)

None of it imports TensorFlow.
"""

from serving.client.answers import Answer
from serving.client.asynchronous import AsyncClient
from serving.client.errors import ClientError
from serving.client.exchanges import Model, ModelSignature
from serving.client.options import Options, Retries
from serving.client.synchronous import Client

__all__ = ["Answer", "AsyncClient", "Client", "ClientError", "Model", "ModelSignature", "Options", "Retries"]
