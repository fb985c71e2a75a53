"""Set-up: makes `.venv` from a bare Python 3.11, with the standard library alone.

`setup.sh` is the way in. The steps are in `steps.py`; what each leaves behind to be recognised by is in `stamp.py`.
"""
