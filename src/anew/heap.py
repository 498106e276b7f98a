"""What a process that lives for long does once with its heap."""

import gc


def freeze_heap() -> None:
    """Take what was made so far out of all later collections: modules, clients and policies stay.

    Otherwise a collection looks at half a million objects to find a few hundred, and Python puts it off until what is
    new has grown to a quarter of them (https://docs.python.org/3/library/gc.html#gc.set_threshold): by then the heap
    has grown by megabytes of answers that nobody holds any more.
    """
    gc.collect()
    gc.freeze()
