"""Studies, one question a file; each result is saved under the commit that produced it."""
