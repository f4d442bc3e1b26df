"""Compute threads: the number that torch uses, and combining the work of several threads."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

_lock = threading.Lock()
_inside = 0
_usual = 0


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it, torch computes on the calling thread alone.

    For work of milliseconds: torch's threads wait for each other by spinning, which on a machine that has other work
    makes it ten times longer.
    """
    import torch

    global _inside, _usual
    with _lock:
        # torch keeps a number for each thread and one for threads to come, which setting either changes: a thread that
        # comes first while another is in here would find 1 and, leaving, keep it
        if not _inside:
            _usual = torch.get_num_threads()
        _inside += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            torch.set_num_threads(_usual)


class Together(Generic[Asked, Answer]):
    """A function that several threads call, each with one thing: those that wait are computed in one go by the first of
    them that has its turn. Nobody waits for others to come.

    Args:
        compute: answers to several at once, in their order. If it fails, each is computed alone and has its own error.
        at_once: threads that may compute at the same time.
        most: things in one go.
    """

    def __init__(self, compute: Callable[[Sequence[Asked]], Sequence[Answer]], at_once: int = 1, most: int = 16):
        self.compute, self.most = compute, most
        self._turns, self._waiting = threading.BoundedSemaphore(at_once), deque[tuple[Asked, Future[Answer]]]()

    def __call__(self, asked: Asked) -> Answer:
        mine = Future[Answer]()
        self._waiting.append((asked, mine))
        with self._turns:
            while not mine.done() and (taken := self._take()):
                self._answer(taken)
        return mine.result()

    def _take(self) -> list[tuple[Asked, Future[Answer]]]:
        taken: list[tuple[Asked, Future[Answer]]] = []
        while len(taken) < self.most:
            try:
                taken.append(self._waiting.popleft())
            except IndexError:
                break
        return taken

    def _answer(self, taken: list[tuple[Asked, Future[Answer]]]) -> None:
        try:
            answers = self.compute([asked for asked, _ in taken])
        except BaseException as error:
            if len(taken) > 1 and isinstance(error, Exception):
                for one in taken:
                    self._answer([one])
            else:
                for _, future in taken:
                    future.set_exception(error)
        else:
            for (_, future), answer in zip(taken, answers, strict=True):
                future.set_result(answer)
