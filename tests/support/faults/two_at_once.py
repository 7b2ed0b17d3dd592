"""Two commands that write the same output at the same time."""

from __future__ import annotations

from bulk_files import write_rows

from .campaign import Verdicts, World, attack, begin, difference, end, run


@attack("two at once", tries=4, small=0, minutes=2)
def two_at_once(world: World, tries: int) -> Verdicts:
    """Training and bulk prediction in turn: one does the work, the other says who does."""
    for number in range(tries):
        folder = world.folder(f"two{number}")
        if number % 2:
            given = write_rows(folder / "in.jsonl", world.rows())
            run(world.predict(given, folder / "whole.jsonl"))
            output = folder / "out.jsonl"
            command = world.predict(given, output)
        else:
            output = folder / "run"
            command = world.train(output)
        lives = [end(process) for process in [begin(command), begin(command)]]
        first, second = sorted(lives, key=lambda life: life.code)
        late = "exists" in second.said  # it started when the first one was done
        problem = first.problem() or second.problem(2, "" if late else "is in use by process")
        if problem is None and number % 2:
            same = output.read_bytes() == (folder / "whole.jsonl").read_bytes()
            problem = None if same else "another output than of one command"
        yield problem or (difference(output, world.trained) if not number % 2 else None)
