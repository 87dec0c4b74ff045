"""Compares two OpenAPI documents."""

from __future__ import annotations

from cicd_actions.verify_openapi_client.breaking import operations
from cicd_actions.verify_openapi_client.breaking.change import Change, Comparison
from cicd_actions.verify_openapi_client.breaking.document import Document
from cicd_actions.verify_openapi_client.breaking.schemas import MOST_PAIRS, SchemaComparison


def compare(old: Document, new: Document, *, limit: int = MOST_PAIRS) -> list[Change]:
    """What the way from `old` to `new` breaks. Raises `graph.TooMuch` after `limit` comparisons of schemas.

    Arbitrary JSON is fine: what is not OpenAPI counts as absent.
    """
    comparison = Comparison(old, new, SchemaComparison(old, new, limit=limit))
    operations.compare(comparison)
    return comparison.changes()
