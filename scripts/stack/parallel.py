"""The same work for several services at once, one thread each."""

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from scripts.stack.errors import ServiceError

Subject = TypeVar("Subject")
Result = TypeVar("Result")


def for_each(
    work: Callable[[Subject], Result], subjects: Sequence[Subject]
) -> list[Result | ServiceError]:
    """What `work` returned or the ServiceError that it raised, in the order of the subjects.

    Any other exception is raised here, after all have ended. Ctrl-C does not wait for them: the
    threads end with the program.
    """
    results: dict[int, Result | ServiceError] = {}
    bugs: list[Exception] = []

    def run(index: int, subject: Subject) -> None:
        try:
            results[index] = work(subject)
        except ServiceError as error:
            results[index] = error
        except Exception as error:
            bugs.append(error)

    threads = [
        threading.Thread(target=run, args=(index, subject), daemon=True)
        for index, subject in enumerate(subjects)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if bugs:
        raise bugs[0]
    return [results[index] for index in range(len(subjects))]
