"""The commands of ``python -m optimize``: one file each, with its options and what it runs."""
