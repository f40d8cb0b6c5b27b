# SPDX-License-Identifier: GPL-3.0-or-later
"""What requests and answers look like: the OpenAPI description is made of these."""
