"""What users of PCs and orders have asked for: the queue of the job runner."""
