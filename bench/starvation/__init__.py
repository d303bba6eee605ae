"""Cases in which one caller, tenant or store once made all others wait, each on a fresh server."""
