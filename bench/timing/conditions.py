"""What all rows of a record have in common, known before anything is measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import bench
from bench.cohort.cohort import Cohort
from bench.cohort.images import has_images
from bench.environment import Fact, usable_cores
from bench.files import sha256_file
from bench.runtime.backends.base import Device
from bench.timing.protocol import FULL, Protocol
from bench.timing.record import Precision, ProtocolRecord, TimingRecord, device_slug


@dataclass(frozen=True, slots=True)
class Conditions:
    """Rows that were measured under equal conditions may stand in one record.

    Attributes:
        model_sha256: Of the submitted file.
        fingerprint: Of the split whose test images go in.
        inputs: Whether those images are at hand.
        backend: What runs the model.
        precision: In which precision.
        device: The processor, with versions and properties.
        protocol: How long and how often.
        cores: Processor cores that may be used.
    """

    model_sha256: str
    fingerprint: str
    inputs: str
    backend: str
    precision: Precision
    device: Device
    protocol: Protocol
    cores: int

    @property
    def file_name(self) -> str:
        """Name of the record's file."""
        return f"{device_slug(self.device.name)}-{self.backend}-{self.precision}.json"

    def differences(self, record: TimingRecord) -> list[str]:
        """In words, each way in which a record was measured under other conditions; empty if in none."""
        now: dict[str, Fact] = {
            "model": self.model_sha256[:12],
            "split": self.fingerprint[:12],
            "inputs": self.inputs,
            "device": self.device.name,
            "harness": bench.__version__,
            "cores": self.cores,
            **self.device.facts,
        }
        then: dict[str, Fact] = {
            "model": record.model_sha256[:12],
            "split": record.fingerprint[:12],
            "inputs": record.inputs,
            "device": record.device,
            "harness": record.harness_version,
            "cores": record.environment.get("usable_cores"),
            **{name: record.options.get(name) for name in self.device.facts},
        }
        found = [f"{name}: {then[name]}, now {now[name]}" for name in now if then[name] != now[name]]
        if record.protocol != ProtocolRecord(**asdict(self.protocol)):
            found.append(f"protocol: {record.protocol.name}, now {self.protocol.name}")
        return found

    def is_trial_of(self, record: TimingRecord) -> bool:
        """Whether only the protocol differs, and the record's is the full one: its rows are worth more."""
        full = ProtocolRecord(**asdict(FULL))
        return record.protocol == full and len(self.differences(record)) == 1 and self.protocol != FULL


def conditions_of(
    model: Path, cohort: Cohort, backend: str, precision: Precision, device: Device, protocol: Protocol
) -> Conditions:
    """The conditions under which a model would be measured now."""
    return Conditions(
        model_sha256=sha256_file(model),
        fingerprint=cohort.split.fingerprint,
        inputs="cohort images" if has_images(cohort) else "random pixels",
        backend=backend,
        precision=precision,
        device=device,
        protocol=protocol,
        cores=usable_cores(),
    )
