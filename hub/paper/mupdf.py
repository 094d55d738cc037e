"""PyMuPDF, which claims types but has none, named once as Any; and the lock every caller must hold.

MuPDF is not thread-safe: one process per document (`hub.paper.child`), or this lock around all of it.
"""

import threading
from typing import Any

import pymupdf

mupdf: Any = pymupdf
lock = threading.Lock()

mupdf.TOOLS.mupdf_display_errors(False)  # they quote the document, and documents hold personal data
mupdf.TOOLS.mupdf_display_warnings(False)
