"""Digital goods: their files, and links by which buyers download them."""

from storeroom.downloads.errors import DownloadNotFound, DownloadOver, FileNotAccepted, NotDigital, NothingToSend
from storeroom.downloads.model import FILE_BYTES_MAX, KINDS, Download, File
from storeroom.downloads.service import Downloads

__all__ = [
    "FILE_BYTES_MAX",
    "KINDS",
    "Download",
    "DownloadNotFound",
    "DownloadOver",
    "Downloads",
    "File",
    "FileNotAccepted",
    "NotDigital",
    "NothingToSend",
]
