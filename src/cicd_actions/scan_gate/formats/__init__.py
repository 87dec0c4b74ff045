"""The formats of reports: each function turns a document into what it adds to a scan. Raises `Unreadable`.

`packages` knows the audits of package managers, `advisories` what scanners of lock files and images write, `code` scanners of
source, and `sarif` everything that speaks SARIF.
"""
