"""`streamlit run` with a stop-watch: one JSON line for every run of a page's script, into the file of CBM_TIMINGS. For `app_latency.py`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from streamlit.runtime.scriptrunner import script_runner
from streamlit.web import cli


def timed(execute: Callable[..., Any], path: str) -> Callable[..., Any]:
    """Streamlit's own function that runs the script of one session once, callbacks included, with its time noted."""

    def run(code: Callable[[], Any], context: Any) -> Any:
        start, used = time.perf_counter(), time.thread_time()
        try:
            return execute(code, context)
        finally:
            record = {
                "milliseconds": 1000 * (time.perf_counter() - start),
                "processor_milliseconds": 1000 * (time.thread_time() - used),
                "fragment": bool(context.fragment_ids_this_run),
            }
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")

    return run


if __name__ == "__main__":
    script_runner.exec_func_with_error_handling = timed(script_runner.exec_func_with_error_handling, os.environ["CBM_TIMINGS"])
    sys.argv[0] = "streamlit"
    sys.exit(cli.main())
