"""A LitServe server for tests: numbers doubled, in batches or as a stream. Its ports and settings are arguments."""

import sys

import litserve

from joulegram_serve import FootprintMiddleware, current
from joulegram_serve.litserve import FootprintCallback


class Doubling(litserve.LitAPI):
    def setup(self, device: str) -> None:
        pass

    def decode_request(self, request: dict[str, float]) -> float:
        return request["number"]

    def predict(self, numbers: list[float]) -> list[float]:
        return [2 * number for number in numbers]

    def encode_response(self, output: float) -> dict[str, float]:
        return {"number": output}


class Counting(litserve.LitAPI):
    def setup(self, device: str) -> None:
        pass

    def decode_request(self, request: dict[str, int]) -> int:
        return request["number"]

    def predict(self, number):  # type: ignore[no-untyped-def]  # LitServe looks at what kind of function it is
        yield from map(str, range(number))

    def encode_response(self, output):  # type: ignore[no-untyped-def]  # as above
        yield from output


def main(port: int, way: str) -> None:
    settings = {"name": "lit"}
    api = Counting(stream=True) if way == "stream" else Doubling(max_batch_size=8, batch_timeout=0.2)
    server = litserve.LitServer(
        api,
        accelerator="cpu",
        middlewares=[(FootprintMiddleware, settings)],
        callbacks=[FootprintCallback(**settings)],
    )
    assert current().id == ""
    server.run(host="127.0.0.1", port=port, num_api_servers=1, generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
