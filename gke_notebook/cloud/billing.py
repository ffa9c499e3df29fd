"""List prices from the Cloud Billing Catalog API, written where the catalog finds them.

Source: Cloud Billing Catalog API v1, `services.skus.list` (google-cloud-billing 1.21.0).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

from gke_notebook.catalog import price_files
from gke_notebook.catalog.skus import CLOUD_TPU, COMPUTE_ENGINE, Refreshed, compose
from gke_notebook.cloud.rest import CloudError, Rest
from gke_notebook.errors import InvalidInput, NotConnected, nearest

_PAGE = "5000"


def refresh(regions: Iterable[str] = (), *, signed_in: Any = None, today: date | None = None) -> tuple[Path, Refreshed]:
    """Read the current list prices and write them for the catalog to prefer.

    Args:
        regions: the regions to read; all when empty. What an earlier refresh knows of other regions stays.
        signed_in: Google credentials; found as elsewhere when not given.
        today: the date the prices get, for tests.

    Returns:
        The file, and what was read.

    Raises:
        InvalidInput: nothing in the price list is for these regions.
        NotConnected: there are no credentials, or they do not suffice.
        ClusterUnreachable: the API does not answer.
        CloudError: it refuses.
    """
    wanted = tuple(regions)
    skus = list(read_skus(signed_in=signed_in))
    found = compose(skus, (today or date.today()).isoformat(), wanted)
    known = sorted({region for sku in skus for region in sku.get("serviceRegions", ())})
    for region in wanted:
        if region not in known:
            raise InvalidInput(f"the price list has nothing for the region {region!r}; {nearest(region, known)}")
    if not found.rows:
        raise InvalidInput(f"none of the {found.skus} SKUs that were read prices a machine of the catalog")
    kept = [line for line in price_files.written() if wanted and line.get("region") not in wanted]
    return price_files.write([*kept, *found.rows]), found


def read_skus(*, signed_in: Any = None) -> Iterable[dict[str, Any]]:
    """Give every SKU of Compute Engine and Cloud TPU, in USD.

    Args:
        signed_in: Google credentials; found as elsewhere when not given.

    Raises:
        NotConnected: there are no credentials, or they do not suffice.
        ClusterUnreachable: the API does not answer.
        CloudError: it refuses.
    """
    api = Rest("cloudbilling", signed_in)
    for service in (COMPUTE_ENGINE, CLOUD_TPU):
        try:
            yield from api.pages(f"/v1/services/{service}/skus", "skus", {"pageSize": _PAGE, "currencyCode": "USD"})
        except CloudError as error:
            if error.status in {401, 403}:
                raise NotConnected(
                    f"{error}; reading prices needs Google credentials and the Cloud Billing API enabled in their "
                    "project: `gcloud services enable cloudbilling.googleapis.com`"
                ) from error
            raise
