"""Executes a compiled pipeline spec without a cluster, as Kubeflow Pipelines' driver and launcher would.

Nothing is taken from the code that compiled it: what runs is what the YAML says. It is neither Argo nor pods: images,
resources, secrets and volumes are left out, and tasks share this machine.
"""
