"""The program that runs inside the image, on the image's own Python (3.8 or newer), Alembic (1.10 or newer) and SQLAlchemy.

Nothing here may import anything of ours but what stands in this folder: `program.py` hands these modules over as text.
"""
