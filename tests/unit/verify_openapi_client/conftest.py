from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("openapi", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=40)
settings.load_profile("openapi")
