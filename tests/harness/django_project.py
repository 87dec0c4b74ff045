"""A small Django project with apps, migrations and squashes, for the actions that run or judge its migrations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
execute_from_command_line(sys.argv)
"""
_SETTINGS = """
import os
from urllib.parse import unquote, urlsplit
url = urlsplit(os.environ["DATABASE_URL"])
DATABASES = {{"default": {{"ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:], "USER": url.username,
                         "PASSWORD": unquote(url.password), "HOST": url.hostname, "PORT": url.port}}}}
INSTALLED_APPS = {apps!r}
SECRET_KEY = "of-tests"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""
_MIGRATION = """
from django.db import migrations, models
{phase}
class Migration(migrations.Migration):
    dependencies = {dependencies!r}
    replaces = {replaces!r}
    run_before = {run_before!r}
    operations = [{operations}]
"""

ITEM = "migrations.CreateModel('Item', [('id', models.BigAutoField(primary_key=True)), ('name', models.TextField())])"
AGE = "migrations.AddField('item', 'age', models.IntegerField(null=True))"
SIZE = "migrations.AddField('item', 'size', models.IntegerField(null=True))"


class DjangoProject:
    """`manage.py` with `settings`; its address is `DATABASE_URL`."""

    def __init__(self, folder: Path, *apps: str) -> None:
        self.folder = folder
        (folder / "manage.py").write_text(_MANAGE)
        self.install(*(apps or ("shop",)))

    def install(self, *apps: str) -> DjangoProject:
        """Sets the installed apps, and makes those that do not exist."""
        (self.folder / "settings.py").write_text(_SETTINGS.format(apps=list(apps)))
        for app in apps:
            (self.folder / app / "migrations").mkdir(parents=True, exist_ok=True)
            for name in ("__init__.py", "models.py", "migrations/__init__.py"):
                (self.folder / app / name).touch()
        return self

    def models(self, text: str, app: str = "shop") -> DjangoProject:
        """Replaces an app's models."""
        (self.folder / app / "models.py").write_text(f"from django.db import models\n{text}")
        return self

    def migration(
        self,
        name: str,
        *operations: str,
        app: str = "shop",
        after: Sequence[str] = (),
        replaces: Sequence[str] = (),
        before: Sequence[str] = (),
        phase: str = "",
    ) -> DjangoProject:
        """Writes a migration. Others are named as `app.name`, or by their name where they are of the same app."""
        text = _MIGRATION.format(
            phase=f"deploy_phase = {phase!r}" if phase else "",
            dependencies=[_key(each, app) for each in after],
            replaces=[_key(each, app) for each in replaces],
            run_before=[_key(each, app) for each in before],
            operations=", ".join(operations),
        )
        self.path(name, app).write_text(text)
        return self

    def remove(self, *names: str, app: str = "shop") -> DjangoProject:
        """Removes migrations' files."""
        for name in names:
            self.path(name, app).unlink()
        return self

    def path(self, name: str, app: str = "shop") -> Path:
        return self.folder / app / f"migrations/{name}.py"


def _key(name: str, app: str) -> tuple[str, str]:
    label, dot, rest = name.partition(".")
    return (label, rest) if dot else (app, name)
