// SPDX-License-Identifier: Apache-2.0
/*
 * A stand-in for the vendor's module pyACL, which is not there to be measured. Our own code, written from the behaviour
 * that the vendor documents: positional arguments parsed as a tuple, integers for pointers, a status as the result, a
 * Python callback for each frame under the GIL inside process_report, one heap block for each frame's user data,
 * rt.memcpy with the GIL held, numpy_to_ptr with a warning and an import of the array API at each call. Where the
 * documentation leaves a choice, the cheaper way is taken. Only what the benchmarks call is here. Never installed.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#include <numpy/arrayobject.h>

#include "device.h"

/* ---- callbacks: by channel descriptor, as the vendor's map of them ----------------------------------------- */

enum { MAX_CHANNELS = 256 };

static struct registered {
    aclvencChannelDesc *desc;
    PyObject *function;
} callbacks[MAX_CHANNELS];
static size_t callback_count;

static PyObject **find_callback(const aclvencChannelDesc *desc) {
    for (size_t i = 0; i < callback_count; i++)
        if (callbacks[i].desc == desc)
            return &callbacks[i].function;
    return NULL;
}

typedef struct user_data {
    PyObject *function, *object;
} user_data;

static void trampoline(acldvppPicDesc *input, acldvppStreamDesc *output, void *pointer) {
    user_data *data = pointer;
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *args = Py_BuildValue("(kkO)", (unsigned long)input, (unsigned long)output, data->object);
    PyObject *result = args != NULL ? PyObject_Call(data->function, args, NULL) : NULL;
    if (result == NULL)
        PyErr_Print(); /* the vendor's leaves it pending; a benchmark must not lose it */
    Py_XDECREF(result);
    Py_XDECREF(args);
    Py_DECREF(data->object);
    free(data);
    PyGILState_Release(state);
}

static PyObject *venc_set_channel_desc_callback(PyObject *self, PyObject *args) {
    unsigned long desc;
    PyObject *function;
    if (!PyArg_ParseTuple(args, "kO", &desc, &function))
        return NULL;
    PyObject **known = find_callback((aclvencChannelDesc *)desc);
    if (known == NULL) {
        if (callback_count == MAX_CHANNELS)
            return PyErr_Format(PyExc_RuntimeError, "too many channels");
        callbacks[callback_count] = (struct registered){(aclvencChannelDesc *)desc, NULL};
        known = &callbacks[callback_count++].function;
    }
    Py_INCREF(function);
    Py_XSETREF(*known, function);
    return Py_BuildValue("i", aclvencSetChannelDescCallback((aclvencChannelDesc *)desc, trampoline));
}

static PyObject *venc_send_frame(PyObject *self, PyObject *args) {
    unsigned long desc, input, reserve, config;
    PyObject *object;
    if (!PyArg_ParseTuple(args, "kkkkO", &desc, &input, &reserve, &config, &object))
        return NULL;
    PyObject **function = find_callback((aclvencChannelDesc *)desc);
    if (function == NULL)
        return PyErr_Format(PyExc_RuntimeError, "did not set callback, failed");
    user_data *data = malloc(sizeof *data);
    if (data == NULL)
        return PyErr_NoMemory();
    Py_INCREF(object);
    data->function = *function;
    data->object = object;
    PyThreadState *saved = PyEval_SaveThread();
    aclError rc = aclvencSendFrame((aclvencChannelDesc *)desc, (acldvppPicDesc *)input, (void *)reserve,
                                   (aclvencFrameConfig *)config, data);
    PyEval_RestoreThread(saved);
    return Py_BuildValue("i", rc);
}

static PyObject *venc_destroy_channel(PyObject *self, PyObject *args) {
    unsigned long desc;
    if (!PyArg_ParseTuple(args, "k", &desc))
        return NULL;
    PyThreadState *saved = PyEval_SaveThread();
    aclError rc = aclvencDestroyChannel((aclvencChannelDesc *)desc);
    PyEval_RestoreThread(saved);
    for (size_t i = 0; i < callback_count; i++)
        if (callbacks[i].desc == (aclvencChannelDesc *)desc) {
            Py_DECREF(callbacks[i].function);
            callbacks[i] = callbacks[--callback_count];
        }
    return Py_BuildValue("i", rc);
}

/* ---- the plain shapes ------------------------------------------------------------------------------------------ */

#define CREATOR(python_name, c_name)                                                                                   \
    static PyObject *python_name(PyObject *self, PyObject *args) {                                                     \
        return Py_BuildValue("k", (unsigned long)c_name());                                                            \
    }
#define SETTER(python_name, c_name, format, type)                                                                      \
    static PyObject *python_name(PyObject *self, PyObject *args) {                                                     \
        unsigned long handle;                                                                                          \
        type value;                                                                                                    \
        if (!PyArg_ParseTuple(args, "k" format, &handle, &value))                                                      \
            return NULL;                                                                                               \
        return Py_BuildValue("i", c_name((void *)handle, value));                                                      \
    }
#define GETTER(python_name, c_name, format)                                                                            \
    static PyObject *python_name(PyObject *self, PyObject *args) {                                                     \
        unsigned long handle;                                                                                          \
        if (!PyArg_ParseTuple(args, "k", &handle))                                                                     \
            return NULL;                                                                                               \
        return Py_BuildValue(format, c_name((void *)handle));                                                          \
    }

/* Of acl.media what is nothing but its call: CREATE(name, C name), SET(name, C name, format, type), GET(..., format). */
/* clang-format off */
#define MEDIA_CALLS(CREATE, SET, GET) \
    CREATE(dvpp_create_pic_desc, acldvppCreatePicDesc) \
    CREATE(venc_create_channel_desc, aclvencCreateChannelDesc) \
    CREATE(venc_create_frame_config, aclvencCreateFrameConfig) \
    GET(dvpp_destroy_pic_desc, acldvppDestroyPicDesc, "i") \
    GET(venc_destroy_channel_desc, aclvencDestroyChannelDesc, "i") \
    GET(venc_destroy_frame_config, aclvencDestroyFrameConfig, "i") \
    GET(venc_create_channel, aclvencCreateChannel, "i") \
    GET(dvpp_free, acldvppFree, "i") \
    SET(dvpp_set_pic_desc_data, acldvppSetPicDescData, "k", void *) \
    SET(dvpp_set_pic_desc_size, acldvppSetPicDescSize, "I", unsigned int) \
    SET(dvpp_set_pic_desc_width, acldvppSetPicDescWidth, "I", unsigned int) \
    SET(dvpp_set_pic_desc_height, acldvppSetPicDescHeight, "I", unsigned int) \
    SET(dvpp_set_pic_desc_width_stride, acldvppSetPicDescWidthStride, "I", unsigned int) \
    SET(venc_set_channel_desc_thread_id, aclvencSetChannelDescThreadId, "K", unsigned long long) \
    SET(venc_set_channel_desc_entype, aclvencSetChannelDescEnType, "i", int) \
    SET(venc_set_channel_desc_pic_format, aclvencSetChannelDescPicFormat, "i", int) \
    SET(venc_set_channel_desc_pic_width, aclvencSetChannelDescPicWidth, "I", unsigned int) \
    SET(venc_set_channel_desc_pic_height, aclvencSetChannelDescPicHeight, "I", unsigned int) \
    SET(venc_set_channel_desc_key_frame_interval, aclvencSetChannelDescKeyFrameInterval, "I", unsigned int) \
    GET(dvpp_get_pic_desc_width, acldvppGetPicDescWidth, "I") \
    GET(dvpp_get_stream_desc_data, acldvppGetStreamDescData, "k") \
    GET(dvpp_get_stream_desc_size, acldvppGetStreamDescSize, "I") \
    GET(dvpp_get_stream_desc_ret_code, acldvppGetStreamDescRetCode, "I")
/* clang-format on */
MEDIA_CALLS(CREATOR, SETTER, GETTER)
GETTER(set_context, aclrtSetCurrentContext, "i")
GETTER(destroy_context, aclrtDestroyContext, "i")

/* The least that a call can cost: what a hand-written METH_FASTCALL does, for comparison. */
static PyObject *fastcall_set_width(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "two arguments");
    unsigned long desc = PyLong_AsUnsignedLongMask(args[0]), width = PyLong_AsUnsignedLongMask(args[1]);
    if (PyErr_Occurred())
        return NULL;
    return PyLong_FromLong(acldvppSetPicDescWidth((acldvppPicDesc *)desc, (uint32_t)width));
}

static PyObject *fastcall_get_width(PyObject *self, PyObject *arg) {
    unsigned long desc = PyLong_AsUnsignedLongMask(arg);
    if (PyErr_Occurred())
        return NULL;
    return PyLong_FromUnsignedLong(acldvppGetPicDescWidth((acldvppPicDesc *)desc));
}

static PyObject *dvpp_malloc(PyObject *self, PyObject *args) {
    unsigned long size;
    void *memory = NULL;
    if (!PyArg_ParseTuple(args, "k", &size))
        return NULL;
    aclError rc = acldvppMalloc(&memory, size);
    return Py_BuildValue("ki", (unsigned long)memory, rc);
}

static PyObject *init(PyObject *self, PyObject *args) {
    return Py_BuildValue("i", aclInit(NULL));
}

static PyObject *create_context(PyObject *self, PyObject *args) {
    int device;
    aclrtContext context = NULL;
    if (!PyArg_ParseTuple(args, "i", &device))
        return NULL;
    aclError rc = aclrtCreateContext(&context, device);
    return Py_BuildValue("ki", (unsigned long)context, rc);
}

static PyObject *process_report(PyObject *self, PyObject *args) {
    int timeout;
    if (!PyArg_ParseTuple(args, "i", &timeout))
        return NULL;
    PyThreadState *saved = PyEval_SaveThread();
    aclError rc = aclrtProcessReport(timeout);
    PyEval_RestoreThread(saved);
    return Py_BuildValue("i", rc);
}

/* With the GIL held while it copies. */
static PyObject *copy_memory(PyObject *self, PyObject *args) {
    unsigned long to, room, from, size;
    int kind;
    if (!PyArg_ParseTuple(args, "kkkki", &to, &room, &from, &size, &kind))
        return NULL;
    return Py_BuildValue("i", aclrtMemcpy((void *)to, room, (void *)from, size, kind));
}

/* ---- util ---------------------------------------------------------------------------------------------------------- */

static PyObject *numpy_to_ptr(PyObject *self, PyObject *args) {
    PyObject *array;
    import_array();
    if (!PyArg_ParseTuple(args, "O", &array))
        return NULL;
    if (PyErr_WarnEx(PyExc_Warning, "numpy_to_ptr will be deprecated, use bytes_to_ptr", 1) != 0)
        return NULL;
    if (!PyArray_Check(array))
        return PyErr_Format(PyExc_ValueError, "needs an array as argument");
    return Py_BuildValue("k", (unsigned long)PyArray_DATA((PyArrayObject *)array));
}

/* What the vendor recommends in its place. */
static PyObject *bytes_to_ptr(PyObject *self, PyObject *args) {
    PyObject *bytes;
    if (!PyArg_ParseTuple(args, "O", &bytes))
        return NULL;
    if (!PyBytes_Check(bytes))
        return PyErr_Format(PyExc_ValueError, "needs bytes as argument");
    return Py_BuildValue("k", (unsigned long)PyBytes_AS_STRING(bytes));
}

/* ---- modules ------------------------------------------------------------------------------------------------------- */

#define NAMED(name, function) {name, function, METH_VARARGS, NULL},
#define ROW(name, ...)        NAMED(#name, name)
#define END                   {NULL, NULL, 0, NULL}

/* clang-format off */
static PyMethodDef acl_methods[] = {ROW(init) END};
static PyMethodDef rt_methods[] = {ROW(create_context) ROW(destroy_context) ROW(set_context) ROW(process_report)
                                   NAMED("memcpy", copy_memory) END};
static PyMethodDef util_methods[] = {
    ROW(numpy_to_ptr) ROW(bytes_to_ptr)
    {"fastcall_set_width", (PyCFunction)(void (*)(void))fastcall_set_width, METH_FASTCALL, NULL},
    {"fastcall_get_width", fastcall_get_width, METH_O, NULL},
    END};
static PyMethodDef media_methods[] = {
    MEDIA_CALLS(ROW, ROW, ROW)
    ROW(dvpp_malloc) ROW(venc_set_channel_desc_callback) ROW(venc_destroy_channel) ROW(venc_send_frame) END};
/* clang-format on */

static PyModuleDef acl_def = {PyModuleDef_HEAD_INIT, "pyacl_shape", NULL, -1, acl_methods, NULL, NULL, NULL, NULL};
static PyModuleDef rt_def = {PyModuleDef_HEAD_INIT, "pyacl_shape.rt", NULL, -1, rt_methods, NULL, NULL, NULL, NULL};
static PyModuleDef util_def = {
    PyModuleDef_HEAD_INIT, "pyacl_shape.util", NULL, -1, util_methods, NULL, NULL, NULL, NULL};
static PyModuleDef media_def = {
    PyModuleDef_HEAD_INIT, "pyacl_shape.media", NULL, -1, media_methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_pyacl_shape(void) {
    import_array();
    PyObject *module = PyModule_Create(&acl_def);
    if (module == NULL || PyModule_AddObject(module, "rt", PyModule_Create(&rt_def)) != 0 ||
        PyModule_AddObject(module, "util", PyModule_Create(&util_def)) != 0 ||
        PyModule_AddObject(module, "media", PyModule_Create(&media_def)) != 0)
        return NULL;
    return module;
}
