"""A check that refuses images named by tag: `make release-check`, and `make image` for its base image.

python -m tools.image_references                  check deploy/, which is filled in for the release
python -m tools.image_references REFERENCE…       check these
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from jobsplatform.images import is_by_digest

_ROOT = Path(__file__).resolve().parent.parent
# A required variable has no default that could be a tag.
_REQUIRED_VARIABLE = re.compile(r"\$\{[A-Z_]+:\?\}")


def find_faults(deploy: Path) -> Iterator[str]:
    """Yield a sentence for each image below the folder that is not named by digest."""
    for base in re.findall(r"^FROM (?!build\b)(\S+)", (deploy / "Containerfile").read_text(), re.MULTILINE):
        if base != "${PYTHON_IMAGE}" and not is_by_digest(base):
            yield f"Containerfile: {base} is not a digest."
    if re.search(r"^ARG PYTHON_IMAGE=", (deploy / "Containerfile").read_text(), re.MULTILINE):
        yield "Containerfile: PYTHON_IMAGE has a default."
    for service, body in yaml.safe_load((deploy / "compose" / "compose.yaml").read_text())["services"].items():
        if not _REQUIRED_VARIABLE.fullmatch(body["image"]) and not is_by_digest(body["image"]):
            yield f"compose.yaml: the image of {service} is not a digest."
    yield from _faults_of_variables(deploy / "compose" / ".env")
    for image in yaml.safe_load((deploy / "kubernetes" / "kustomization.yaml").read_text())["images"]:
        if "newTag" in image or not is_by_digest(image.get("digest", "")):
            yield f"kustomization.yaml: {image['name']} has no digest."


def _faults_of_variables(file: Path) -> Iterator[str]:
    if file.exists():
        for name, value in re.findall(r"^((?:[A-Z]+_)?IMAGE)=(.*)$", file.read_text(), re.MULTILINE):
            if not is_by_digest(value):
                yield f"{file.name}: {name} is not a digest."


def main(references: list[str]) -> int:
    """Print every fault; return 1 if there is one."""
    faults = [f"{each or 'nothing'} is not a digest." for each in references if not is_by_digest(each)]
    if not references:
        faults = list(find_faults(_ROOT / "deploy"))
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    if faults:
        sys.stderr.write("Name images as NAME@sha256:DIGEST: docs/how-to/production.md, Images.\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
