"""The job runner of a Slipway image server: ordinary playbooks for what PCs' users chose."""
