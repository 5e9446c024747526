# SPDX-License-Identifier: Apache-2.0
"""A film encoded in chunks, by many sessions on one machine or many, and joined again::

    from ascend_venc import chunked

    if __name__ == "__main__":
        plan = chunked.plan("long.mkv", codec="h264", bitrate="4M")
        with chunked.Joiner(plan, "out.mp4") as film:
            chunked.encode_all(plan, "work", lambda: chunked.process_pool(4), workers=4, each=film.add)

A plan depends on the film and the settings alone, and a chunk on the plan alone: any number of workers gives the same
bytes. Importing this loads no device library, and no Ray.
"""

from .encoding import ChunkResult, encode_chunk, files_of, find_result
from .executors import encode_all, process_pool
from .joining import Joiner, check, concat, results_in
from .plan import Chunk, ChunkError, ChunkPlan, Source, load_plan, plan
from .ray_actors import encode_on_ray, import_ray, resources_of_this_node

__all__ = [
    "Chunk",
    "ChunkError",
    "ChunkPlan",
    "ChunkResult",
    "Joiner",
    "Source",
    "check",
    "concat",
    "encode_all",
    "encode_chunk",
    "encode_on_ray",
    "files_of",
    "find_result",
    "import_ray",
    "load_plan",
    "plan",
    "process_pool",
    "resources_of_this_node",
    "results_in",
]
