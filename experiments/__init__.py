"""Studies, one question a file; results are committed under the commit that produced them."""
