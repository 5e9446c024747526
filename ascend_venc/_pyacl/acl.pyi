"""`import acl` for type checkers: see docs/pyacl.md."""

from ascend_venc.acl import app_log as app_log
from ascend_venc.acl import finalize as finalize
from ascend_venc.acl import finalize_reference as finalize_reference
from ascend_venc.acl import get_recent_err_msg as get_recent_err_msg
from ascend_venc.acl import get_soc_name as get_soc_name
from ascend_venc.acl import get_version as get_version
from ascend_venc.acl import himpi as himpi
from ascend_venc.acl import init as init
from ascend_venc.acl import media as media
from ascend_venc.acl import rt as rt
from ascend_venc.acl import util as util
