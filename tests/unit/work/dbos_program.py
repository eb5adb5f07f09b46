"""A program for the kill -9 test: runs a five-step workflow in a folder, or resumes it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from stile.store.engines import open_database
from stile.work import dbos_engine
from stile.work.dbos_engine import DbosBackground

dbos_engine.BEAT_EVERY_S = 0.3  # the test does not wait for a server to be given up at leisure


def main(folder: Path, act: str, store: str) -> None:
    db = open_database(store, folder)
    background = DbosBackground(db, folder, store)

    def slow_sum(steps, arguments):
        total = 0
        for number in range(arguments["count"]):

            def work(number=number):
                with (folder / "log").open("a") as log:
                    log.write(f"{number}\n")
                if act == "begin" and number == 2:
                    time.sleep(60)
                return {"number": number}

            total += steps.step(f"step-{number}", work)["number"]
        return {"total": total}

    background.register("slow-sum", slow_sum)
    if act == "begin":
        background.start("slow-sum", {"count": 5}, key="job")
    background.launch()
    background.ready(60)
    status = background.wait("job", 60)
    print(status.state, status.result, flush=True)
    background.stop()
    db.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
