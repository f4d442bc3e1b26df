"""Several processes on one index, and processes that are killed."""

import threading
from pathlib import Path

from collotype.search.index import Index
from tests.search.made import DESCRIBED, kill_at_random, page, query_of, write_and_read_together


def test_killed_while_adding_every_acknowledged_page_is_there_once(tmp_path: Path) -> None:
    assert kill_at_random(tmp_path / "index", kills=2, seconds=0.4) > 0


def test_two_writers_and_a_reader(tmp_path: Path) -> None:
    documents, searches = write_and_read_together(tmp_path / "index", 1)
    assert documents >= 2 and searches >= 2


def test_threads_search_while_one_writes(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", **DESCRIBED)
    index.add([page("first.pdf", number) for number in range(1, 120)])
    errors, done = [], threading.Event()

    def search(number: int) -> None:
        wanted = page("first.pdf", number)
        while not done.is_set():
            for plan in ("exact", "bits"):
                found = index.search(query_of(wanted[1], range(5), "abcde"), 1, plan=plan)[0].link
                if found != wanted[0].id:
                    errors.append(found)

    threads = [threading.Thread(target=search, args=(number,)) for number in (20, 60, 100)]
    for thread in threads:
        thread.start()
    for number in range(1, 15):
        index.add([page("more.pdf", number)])
    index.optimize()
    done.set()
    for thread in threads:
        thread.join()
    assert not errors
