// SPDX-License-Identifier: Apache-2.0
/*
 * Functions of the vendor's files that belong to other engines than the video encoder: scaling, decoders, pictures, models
 * and operators. A program that has them beside its encoding links here and runs; each call is refused, and says so.
 *
 * Only names: `..._CODES` return a status, `..._VALUES` a pointer or an integer, `..._REALS` a double.
 */
#ifndef ASCEND_VENC_SIM_LINK_ELSEWHERE_H
#define ASCEND_VENC_SIM_LINK_ELSEWHERE_H

/* clang-format off */
/* libacl_dvpp.so: scaling, JPEG, PNG, the video decoder */
#define ELSEWHERE_MEDIA_CODES(X) \
    X(acldvppClearHist) X(acldvppCreateChannel) X(acldvppDestroyBorderConfig) X(acldvppDestroyChannel) \
    X(acldvppDestroyChannelDesc) X(acldvppDestroyHist) X(acldvppDestroyJpegeConfig) X(acldvppDestroyLutMap) \
    X(acldvppDestroyResizeConfig) X(acldvppDestroyRoiConfig) X(acldvppGetChannelDescParam) X(acldvppGetHistData) \
    X(acldvppGetLutMapData) X(acldvppJpegDecodeAsync) X(acldvppJpegEncodeAsync) X(acldvppJpegGetImageInfo) \
    X(acldvppJpegGetImageInfoV2) X(acldvppJpegPredictDecSize) X(acldvppJpegPredictEncSize) X(acldvppPngDecodeAsync) \
    X(acldvppPngGetImageInfo) X(acldvppPngPredictDecSize) X(acldvppSetBorderConfigBorderType) \
    X(acldvppSetBorderConfigBottom) X(acldvppSetBorderConfigLeft) X(acldvppSetBorderConfigRight) \
    X(acldvppSetBorderConfigTop) X(acldvppSetBorderConfigValue) X(acldvppSetChannelDescMode) \
    X(acldvppSetChannelDescParam) X(acldvppSetJpegeConfigLevel) X(acldvppSetResizeConfigInterpolation) \
    X(acldvppSetRoiConfig) X(acldvppSetRoiConfigBottom) X(acldvppSetRoiConfigLeft) X(acldvppSetRoiConfigRight) \
    X(acldvppSetRoiConfigTop) X(acldvppVpcBatchCropAndPasteAsync) X(acldvppVpcBatchCropAsync) \
    X(acldvppVpcBatchCropResizeAsync) X(acldvppVpcBatchCropResizeMakeBorderAsync) \
    X(acldvppVpcBatchCropResizePasteAsync) X(acldvppVpcCalcHistAsync) X(acldvppVpcConvertColorAsync) \
    X(acldvppVpcCropAndPasteAsync) X(acldvppVpcCropAsync) X(acldvppVpcCropResizeAsync) \
    X(acldvppVpcCropResizePasteAsync) X(acldvppVpcEqualizeHistAsync) X(acldvppVpcMakeBorderAsync) \
    X(acldvppVpcPyrDownAsync) X(acldvppVpcResizeAsync) X(aclvdecCreateChannel) X(aclvdecDestroyChannel) \
    X(aclvdecDestroyChannelDesc) X(aclvdecDestroyFrameConfig) X(aclvdecGetChannelDescParam) X(aclvdecSendFrame) \
    X(aclvdecSendSkippedFrame) X(aclvdecSetChannelDescBitDepth) X(aclvdecSetChannelDescCallback) \
    X(aclvdecSetChannelDescChannelId) X(aclvdecSetChannelDescEnType) X(aclvdecSetChannelDescOutMode) \
    X(aclvdecSetChannelDescOutPicFormat) X(aclvdecSetChannelDescOutPicHeight) X(aclvdecSetChannelDescOutPicWidth) \
    X(aclvdecSetChannelDescParam) X(aclvdecSetChannelDescRefFrameNum) X(aclvdecSetChannelDescThreadId)
#define ELSEWHERE_MEDIA_VALUES(X) \
    X(acldvppCreateBorderConfig) X(acldvppCreateChannelDesc) X(acldvppCreateHist) X(acldvppCreateJpegeConfig) \
    X(acldvppCreateLutMap) X(acldvppCreateResizeConfig) X(acldvppCreateRoiConfig) X(acldvppGetBorderConfigBorderType) \
    X(acldvppGetBorderConfigBottom) X(acldvppGetBorderConfigLeft) X(acldvppGetBorderConfigRight) \
    X(acldvppGetBorderConfigTop) X(acldvppGetChannelDescChannelId) X(acldvppGetHistDims) X(acldvppGetHistRetCode) \
    X(acldvppGetJpegeConfigLevel) X(acldvppGetLutMapDims) X(acldvppGetResizeConfigInterpolation) \
    X(aclvdecCreateChannelDesc) X(aclvdecCreateFrameConfig) X(aclvdecGetChannelDescBitDepth) \
    X(aclvdecGetChannelDescCallback) X(aclvdecGetChannelDescChannelId) X(aclvdecGetChannelDescEnType) \
    X(aclvdecGetChannelDescOutMode) X(aclvdecGetChannelDescOutPicFormat) X(aclvdecGetChannelDescOutPicHeight) \
    X(aclvdecGetChannelDescOutPicWidth) X(aclvdecGetChannelDescRefFrameNum) X(aclvdecGetChannelDescThreadId)
#define ELSEWHERE_MEDIA_REALS(X) \
    X(acldvppGetBorderConfigValue)

/* libascendcl.so: models, operators, and what they take */
#define ELSEWHERE_MODEL_CODES(X) \
    X(aclDestroyDataBuffer) X(aclGetTensorDescDimRange) X(aclGetTensorDescDimV2) X(aclSetTensorConst) \
    X(aclSetTensorDynamicInput) X(aclSetTensorFormat) X(aclSetTensorOriginFormat) X(aclSetTensorOriginShape) \
    X(aclSetTensorPlaceMent) X(aclSetTensorShape) X(aclSetTensorShapeRange) X(aclSetTensorValueRange) \
    X(aclTransTensorDescFormat) X(aclUpdateDataBuffer) X(aclmdlAddDatasetBuffer) X(aclmdlBundleGetModelId) \
    X(aclmdlBundleGetModelNum) X(aclmdlBundleLoadFromFile) X(aclmdlBundleLoadFromMem) X(aclmdlBundleUnload) \
    X(aclmdlCreateAndGetOpDesc) X(aclmdlDestroyAIPP) X(aclmdlDestroyConfigHandle) X(aclmdlDestroyDataset) \
    X(aclmdlDestroyDesc) X(aclmdlDestroyExecConfigHandle) X(aclmdlExecute) X(aclmdlExecuteV2) X(aclmdlFinalizeDump) \
    X(aclmdlGetAippDataSize) X(aclmdlGetAippType) X(aclmdlGetCurOutputDims) X(aclmdlGetDesc) X(aclmdlGetDescFromFile) \
    X(aclmdlGetDescFromMem) X(aclmdlGetDynamicBatch) X(aclmdlGetDynamicHW) X(aclmdlGetFirstAippInfo) \
    X(aclmdlGetInputDims) X(aclmdlGetInputDimsRange) X(aclmdlGetInputDimsV2) X(aclmdlGetInputDynamicDims) \
    X(aclmdlGetInputDynamicGearCount) X(aclmdlGetInputIndexByName) X(aclmdlGetOutputDims) \
    X(aclmdlGetOutputIndexByName) X(aclmdlInitDump) X(aclmdlLoadFromFile) X(aclmdlLoadFromFileWithMem) \
    X(aclmdlLoadFromFileWithQ) X(aclmdlLoadFromMem) X(aclmdlLoadFromMemWithMem) X(aclmdlLoadFromMemWithQ) \
    X(aclmdlLoadWithConfig) X(aclmdlQueryExeOMDesc) X(aclmdlQuerySize) X(aclmdlQuerySizeFromMem) \
    X(aclmdlRICaptureBegin) X(aclmdlRICaptureEnd) X(aclmdlRICaptureGetInfo) X(aclmdlRICaptureTaskGrpBegin) \
    X(aclmdlRICaptureTaskGrpEnd) X(aclmdlRICaptureTaskUpdateBegin) X(aclmdlRICaptureTaskUpdateEnd) \
    X(aclmdlRIDebugPrint) X(aclmdlRIDestroy) X(aclmdlRIExecuteAsync) X(aclmdlSetAIPPAxSwapSwitch) \
    X(aclmdlSetAIPPByInputIndex) X(aclmdlSetAIPPCropParams) X(aclmdlSetAIPPCscParams) X(aclmdlSetAIPPDtcPixelMean) \
    X(aclmdlSetAIPPDtcPixelMin) X(aclmdlSetAIPPInputFormat) X(aclmdlSetAIPPPaddingParams) X(aclmdlSetAIPPPixelVarReci) \
    X(aclmdlSetAIPPRbuvSwapSwitch) X(aclmdlSetAIPPScfParams) X(aclmdlSetAIPPSrcImageSize) X(aclmdlSetConfigOpt) \
    X(aclmdlSetDatasetTensorDesc) X(aclmdlSetDump) X(aclmdlSetDynamicBatchSize) X(aclmdlSetDynamicHWSize) \
    X(aclmdlSetExecConfigOpt) X(aclmdlSetInputAIPP) X(aclmdlSetInputDynamicDims) X(aclmdlUnload) X(aclopCast) \
    X(aclopCreateHandle) X(aclopCreateHandleForCast) X(aclopCreateKernel) X(aclopExecWithHandle) X(aclopExecuteV2) \
    X(aclopInferShape) X(aclopLoad) X(aclopRegisterCompileFunc) X(aclopSetAttrBool) X(aclopSetAttrDataType) \
    X(aclopSetAttrFloat) X(aclopSetAttrInt) X(aclopSetAttrListBool) X(aclopSetAttrListDataType) \
    X(aclopSetAttrListFloat) X(aclopSetAttrListInt) X(aclopSetAttrListListInt) X(aclopSetAttrListString) \
    X(aclopSetAttrString) X(aclopSetKernelArgs) X(aclopSetKernelWorkspaceSizes) X(aclopSetMaxOpQueueNum) \
    X(aclopSetModelDir) X(aclopStartDumpArgs) X(aclopStopDumpArgs) X(aclopUnregisterCompileFunc) X(aclopUpdateParams)
#define ELSEWHERE_MODEL_VALUES(X) \
    X(aclCreateDataBuffer) X(aclCreateTensorDesc) X(aclDataTypeSize) X(aclDestroyTensorDesc) X(aclGetDataBufferAddr) \
    X(aclGetDataBufferSize) X(aclGetDataBufferSizeV2) X(aclGetTensorDescAddress) X(aclGetTensorDescByIndex) \
    X(aclGetTensorDescDim) X(aclGetTensorDescElementCount) X(aclGetTensorDescFormat) X(aclGetTensorDescName) \
    X(aclGetTensorDescNumDims) X(aclGetTensorDescSize) X(aclGetTensorDescType) X(aclSetTensorDescName) \
    X(aclmdlCreateAIPP) X(aclmdlCreateConfigHandle) X(aclmdlCreateDataset) X(aclmdlCreateDesc) \
    X(aclmdlCreateExecConfigHandle) X(aclmdlGetDatasetBuffer) X(aclmdlGetDatasetNumBuffers) \
    X(aclmdlGetDatasetTensorDesc) X(aclmdlGetInputDataType) X(aclmdlGetInputFormat) X(aclmdlGetInputNameByIndex) \
    X(aclmdlGetInputSizeByIndex) X(aclmdlGetNumInputs) X(aclmdlGetNumOutputs) X(aclmdlGetOpAttr) \
    X(aclmdlGetOutputDataType) X(aclmdlGetOutputFormat) X(aclmdlGetOutputNameByIndex) X(aclmdlGetOutputSizeByIndex) \
    X(aclmdlGetTensorRealName) X(aclopCreateAttr) X(aclopDestroyAttr) X(aclopDestroyHandle)

/* libacl_op_compiler.so */
#define ELSEWHERE_COMPILER_CODES(X) \
    X(aclDestroyGraphDumpOpt) X(aclGenGraphAndDumpForOp) X(aclGetCompileopt) X(aclSetCompileopt) X(aclopCompile) \
    X(aclopCompileAndExecute) X(aclopCompileAndExecuteV2) X(aclopSetCompileFlag)
#define ELSEWHERE_COMPILER_VALUES(X) \
    X(aclCreateGraphDumpOpt) X(aclGetCompileoptSize)

/* libacl_dvpp_mpi.so: scaling, decoders, bindings, colour */
#define ELSEWHERE_MPI_CODES(X) \
    X(hi_mpi_dvpp_get_image_info) X(hi_mpi_png_get_image_info) X(hi_mpi_pngd_create_chn) X(hi_mpi_pngd_destroy_chn) \
    X(hi_mpi_pngd_get_image_data) X(hi_mpi_pngd_send_stream) X(hi_mpi_sys_bind) X(hi_mpi_sys_get_chn_csc_matrix) \
    X(hi_mpi_sys_set_chn_csc_matrix) X(hi_mpi_sys_unbind) X(hi_mpi_vdec_close_fd) X(hi_mpi_vdec_create_chn) \
    X(hi_mpi_vdec_destroy_chn) X(hi_mpi_vdec_get_chn_attr) X(hi_mpi_vdec_get_chn_param) X(hi_mpi_vdec_get_fd) \
    X(hi_mpi_vdec_get_frame) X(hi_mpi_vdec_get_protocol_param) X(hi_mpi_vdec_query_status) \
    X(hi_mpi_vdec_release_frame) X(hi_mpi_vdec_reset_chn) X(hi_mpi_vdec_send_stream) X(hi_mpi_vdec_set_chn_attr) \
    X(hi_mpi_vdec_set_chn_param) X(hi_mpi_vdec_set_jpegd_precision_mode) X(hi_mpi_vdec_set_protocol_param) \
    X(hi_mpi_vdec_start_recv_stream) X(hi_mpi_vdec_stop_recv_stream) X(hi_mpi_vpc_batch_crop_resize_make_border) \
    X(hi_mpi_vpc_batch_crop_resize_paste) X(hi_mpi_vpc_blur) X(hi_mpi_vpc_calc_hist) X(hi_mpi_vpc_convert_color) \
    X(hi_mpi_vpc_convert_color_to_yuv420) X(hi_mpi_vpc_convert_color_v2) X(hi_mpi_vpc_copy_make_border) \
    X(hi_mpi_vpc_create_chn) X(hi_mpi_vpc_crop) X(hi_mpi_vpc_crop_resize) X(hi_mpi_vpc_crop_resize_make_border) \
    X(hi_mpi_vpc_crop_resize_paste) X(hi_mpi_vpc_crop_resize_resize_paste) X(hi_mpi_vpc_destroy_chn) \
    X(hi_mpi_vpc_dilate) X(hi_mpi_vpc_draw_cover) X(hi_mpi_vpc_draw_line) X(hi_mpi_vpc_draw_mosaic) \
    X(hi_mpi_vpc_draw_osd) X(hi_mpi_vpc_equalize_hist) X(hi_mpi_vpc_erode) X(hi_mpi_vpc_filter2d) \
    X(hi_mpi_vpc_gaussian_blur) X(hi_mpi_vpc_get_process_result) X(hi_mpi_vpc_get_roundview_stitching_param) \
    X(hi_mpi_vpc_median_blur) X(hi_mpi_vpc_pyrdown) X(hi_mpi_vpc_resize) X(hi_mpi_vpc_rotate) \
    X(hi_mpi_vpc_roundview_stitching) X(hi_mpi_vpc_set_roundview_stitching_param) X(hi_mpi_vpc_sys_create_chn)
/* clang-format on */

#endif /* ASCEND_VENC_SIM_LINK_ELSEWHERE_H */
