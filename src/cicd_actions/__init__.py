"""Deploy safety for GitHub Actions: green means this commit is what runs, and the way back is proven."""
