"""Commands of ``python -m optimize``: one file each, with its options and handler."""
