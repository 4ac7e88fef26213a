"""The check of the extraction sandbox, by what each worker found when it started."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.conf import settings
from django.utils.translation import gettext

from scheduling.models import Worker
from scheduling.sandbox.layers import missing_of
from scheduling.services.diagnosis_check import Check, State


def check_sandboxes(workers: Sequence[Worker]) -> Iterator[Check]:
    """Yield one check that lists the layers of the workers' hosts; none if no worker has reported any finding."""
    reporting = [worker for worker in workers if worker.sandbox]
    if not reporting:
        return
    name = gettext("extraction sandbox")
    missing_by_worker = {str(worker): missing_of(worker.sandbox["protections"]) for worker in reporting}
    unprotected = sorted(worker for worker, missing in missing_by_worker.items() if missing)
    if not unprotected:
        layers = ", ".join(sorted({layer for worker in reporting for layer in worker.sandbox["layers"]}))
        values = {"layers": layers, "workers": len(reporting)}
        yield Check(name, State.OK, gettext("%(layers)s on %(workers)s workers") % values)
        return
    missing = ", ".join(sorted({each for found in missing_by_worker.values() for each in found}))
    measured = gettext("%(missing)s not protected on %(workers)s") % {
        "missing": missing,
        "workers": ", ".join(unprotected),
    }
    if settings.EXTRACTION_WITHOUT_SANDBOX:
        hint = gettext("Files are read all the same: EXTRACTION_WITHOUT_SANDBOX is set.")
        yield Check(name, State.WARNING, measured, hint)
        return
    hint = gettext("Extraction waits there. Use a kernel with Landlock and seccomp, or set EXTRACTION_WITHOUT_SANDBOX.")
    yield Check(name, State.FAILURE, measured, hint)
