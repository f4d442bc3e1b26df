import threading
import time

import pytest
import torch

from collotype.runtime.threads import Together, one_thread


def in_a_thread(work):
    seen = []
    thread = threading.Thread(target=lambda: seen.append(work()))
    thread.start()
    return thread, seen


def test_threads_that_overlap_leave_the_number_as_it_was():
    before = torch.get_num_threads()
    entered, leave = threading.Event(), threading.Event()

    def stay():
        with one_thread():
            entered.set()
            leave.wait()
            return torch.get_num_threads()

    def come_later():
        with one_thread():
            inside = torch.get_num_threads()
        return inside, torch.get_num_threads()

    try:
        torch.set_num_threads(3)
        first, first_saw = in_a_thread(stay)
        entered.wait()
        second, second_saw = in_a_thread(come_later)
        second.join()
        leave.set()
        first.join()
        third, third_saw = in_a_thread(torch.get_num_threads)
        third.join()
        assert (first_saw, second_saw, third_saw) == ([1], [(1, 3)], [3])
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


class Halves:
    """Computes halves; the first time only when it is told to go on."""

    def __init__(self):
        self.goes, self.begun, self.go_on = [], threading.Event(), threading.Event()

    def __call__(self, numbers):
        self.goes.append(sorted(numbers))
        self.begun.set()
        self.go_on.wait()
        if any(number % 2 for number in numbers):
            raise ValueError(f"odd: {numbers}")
        return [number // 2 for number in numbers]


def asked_while_one_is_computed(halves, numbers):
    together, answers = Together(halves, most=3), {}

    def ask(number):
        try:
            answers[number] = together(number)
        except ValueError as error:
            answers[number] = str(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in [100, *numbers]]
    threads[0].start()
    halves.begun.wait()
    for thread in threads[1:]:
        thread.start()
    while len(together._waiting) < len(numbers):
        time.sleep(0.001)
    halves.go_on.set()
    for thread in threads:
        thread.join()
    return answers


def test_those_who_wait_are_computed_in_one_go():
    halves = Halves()
    answers = asked_while_one_is_computed(halves, [2, 4, 6, 8, 10])
    assert answers == {100: 50, 2: 1, 4: 2, 6: 3, 8: 4, 10: 5}
    assert [len(go) for go in halves.goes] == [1, 3, 2]


def test_an_error_is_told_to_the_one_who_made_it():
    halves = Halves()
    answers = asked_while_one_is_computed(halves, [2, 3])
    assert answers == {100: 50, 2: 1, 3: "odd: [3]"}
    with pytest.raises(ValueError, match="odd"):
        Together(halves)(5)
