"""A made-up city for the demo: forty families, and the legacy stores of twelve departments that know them.

Nothing here is a certificate. `families` invents people; `stores` writes what departments would have about them,
in their own tables, code values and encodings; `config/` says how an agent reads each store. README.md tells more.
"""
