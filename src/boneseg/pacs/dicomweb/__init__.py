"""A DICOMweb client, which segments the films of a server that have no segmentation yet.

watch.py         finds these films; retries.py: when failed ones are due again
client.py        QIDO-RS, WADO-RS, STOW-RS
connection.py    HTTP with retries; credentials.py: netrc files and tokens
bounded_http.py  HTTP with limits on size and duration
dicom_json.py, multipart.py  the formats of responses
"""
