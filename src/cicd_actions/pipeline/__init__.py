"""Programs of the reusable workflows themselves, behind `.github/actions`. Standard library and toolkit only."""
