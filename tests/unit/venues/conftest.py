"""Fixtures of every adapter's tests."""

from __future__ import annotations

import pytest

from engine.model.instrument import Product


@pytest.fixture(params=list(Product), ids=lambda product: product.value)
def product(request: pytest.FixtureRequest) -> Product:
    chosen: Product = request.param
    return chosen
