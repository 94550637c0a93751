"""One question per file; results are committed under the commit that produced them."""
