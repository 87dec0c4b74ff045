from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "openapi",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=120,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
settings.load_profile("openapi")
