"""Studies, one question a file; each result is saved under the commit that produced it."""

import optimize  # noqa: F401, its settings are read by what the modules here import
