"""The answer of a check that no run gave: what a sensor tells Dagster, and what a person gets who executes the check."""

from dataclasses import dataclass

import dagster as dg

__all__ = ["Standing"]


@dataclass(frozen=True, slots=True)
class Standing:
    """The answer of one check. `mark` changes when the answer does."""

    asset_key: dg.AssetKey
    check: str
    passed: bool
    severity: dg.AssetCheckSeverity
    description: str
    metadata: dict[str, dg.MetadataValue]
    mark: str

    def result(self) -> dg.AssetCheckResult:
        """For a run that executes the check."""
        return dg.AssetCheckResult(
            asset_key=self.asset_key,
            check_name=self.check,
            passed=self.passed,
            severity=self.severity,
            description=self.description,
            metadata=self.metadata,
        )

    def evaluation(self) -> dg.AssetCheckEvaluation:
        """For a sensor."""
        return dg.AssetCheckEvaluation(
            asset_key=self.asset_key,
            check_name=self.check,
            passed=self.passed,
            severity=self.severity,
            description=self.description,
            metadata=self.metadata,
        )
