"""Dashboards as code. `python -m grafana.build` writes grafana/dashboards/*.json; a test compares."""
