"""What it costs to load the tiny repositories by name from the imitation, by transformers and by us:

python -m tests.hub.costs
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.hub.conftest import Hub
from tests.hub.repositories import ADAPTER, LITTERED, publish_adapter, publish_littered

TRANSFORMERS = f"""
import sys, peft, transformers
name = sys.argv[1]
if name == "{ADAPTER}":
    base = peft.PeftConfig.from_pretrained(name).base_model_name_or_path
    model = transformers.PaliGemmaModel.from_pretrained(base)
    peft.PeftModel.from_pretrained(model, name)
    transformers.AutoTokenizer.from_pretrained(name)
    transformers.AutoImageProcessor.from_pretrained(name)
else:
    transformers.ColPaliForRetrieval.from_pretrained(name)
    transformers.AutoTokenizer.from_pretrained(name)
    transformers.AutoImageProcessor.from_pretrained(name)
"""
OURS = "import sys, collotype; collotype.load(sys.argv[1])"


def cost(hub: Hub, home: Path, program: str, name: str) -> tuple[int, int]:
    """(requests, bytes) of a process of its own."""
    hub.requests()
    environment = {**os.environ, **hub.environment(home)}
    done = subprocess.run([sys.executable, "-c", program, name], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr}")
    requests = hub.requests()
    return len(requests), sum(entry["bytes"] for entry in requests)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Hub(Path(folder) / "repositories") as hub:
        publish_adapter(hub.root, Path(folder) / "work")
        publish_littered(hub.root, Path(folder) / "work")
        for name in (ADAPTER, LITTERED):
            for peer, program in (("transformers", TRANSFORMERS), ("collotype", OURS)):
                requests, size = cost(hub, Path(folder) / peer, program, name)
                print(json.dumps({"model": name, "by": peer, "requests": requests, "bytes": size}), flush=True)


if __name__ == "__main__":
    main()
