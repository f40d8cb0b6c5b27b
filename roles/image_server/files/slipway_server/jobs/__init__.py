# SPDX-License-Identifier: GPL-3.0-or-later
"""What users of PCs and orders have asked for: the queue of the job runner."""
