import threading

import torch

from collotype.runtime.threads import one_thread


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
