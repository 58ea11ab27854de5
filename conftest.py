"""Our own workspace, the first user of the product. This file being here is what makes ``probes`` importable from ``experiments``."""
