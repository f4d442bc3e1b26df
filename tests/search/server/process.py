"""A server in a process of its own: `python -m tests.search.server.process FOLDER PORT SECONDS`.

SECONDS is what indexing a document takes longer than it must.
"""

import sys
import time
from pathlib import Path

from collotype.search.index import Index
from collotype.search.ingest.worker import image_of
from collotype.search.library import EmbeddedLibrary, Progress
from collotype.search.server.app import create_app
from collotype.search.server.run import listen, serve
from tests.search.word_encoder import WordEncoder


class SlowLibrary(EmbeddedLibrary):
    seconds = 0.0

    def add(self, file: Path, name: str, progress: Progress) -> int:
        time.sleep(self.seconds)
        return super().add(file, name, progress)


if __name__ == "__main__":
    folder, port, seconds = sys.argv[1:]
    library = SlowLibrary(Index.open(folder), WordEncoder(), image_of)
    library.seconds = float(seconds)
    serve(create_app(library, Path(folder)), listen("127.0.0.1", int(port)), lambda address: print(address, flush=True))
