// SPDX-License-Identifier: Apache-2.0
/*
 * pyACL shape (stand-in): a C extension written from the documented behaviour of Huawei's module, for comparison.
 * It is not Huawei's code and not part of the product.
 *
 * What it has in common with it: positional arguments parsed by PyArg_ParseTuple, integers for pointers, a table
 * looked up by channel descriptor for each frame, a heap block per frame for the user data, a Python callback per
 * frame under the GIL inside process_report, which itself runs without it; memcpy that keeps the GIL; and
 * numpy_to_ptr with a warning and an import of numpy's C interface on each call.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <dlfcn.h>

#define ACL_NO_PROTOTYPES
#include "ascendcl.h"

static struct {
#define FIELD(library, presence, ret, name, params) ret(*name) params;
    ACL_FUNCTIONS(FIELD)
#undef FIELD
} api;

enum { CHANNELS = 256 };
static struct {
    void *desc;
    PyObject *callback;
} channels[CHANNELS];

static PyObject *callback_of(void *desc) {
    for (int i = 0; i < CHANNELS; i++)
        if (channels[i].desc == desc)
            return channels[i].callback;
    return NULL;
}

typedef struct user_block {
    void *desc;
    PyObject *data;
} user_block;

static void trampoline(acldvppPicDesc *input, acldvppStreamDesc *output, void *user) {
    user_block *block = user;
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *callback = callback_of(block->desc);
    PyObject *arguments = Py_BuildValue("(kkO)", (unsigned long)input, (unsigned long)output, block->data);
    PyObject *result = PyObject_CallObject(callback, arguments);
    Py_XDECREF(result);
    Py_XDECREF(arguments);
    Py_DECREF(block->data);
    free(block);
    PyGILState_Release(state);
}

static PyObject *load(PyObject *self, PyObject *args) {
    const char *path;
    if (!PyArg_ParseTuple(args, "s", &path))
        return NULL;
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return PyErr_Format(PyExc_OSError, "%s", dlerror());
#define RESOLVE(library, presence, ret, name, params) *(void **)&api.name = dlsym(handle, #name);
    ACL_FUNCTIONS(RESOLVE)
#undef RESOLVE
    Py_RETURN_NONE;
}

static PyObject *venc_create_channel_desc(PyObject *self, PyObject *args) {
    return PyLong_FromUnsignedLong((unsigned long)api.aclvencCreateChannelDesc());
}

static PyObject *dvpp_create_pic_desc(PyObject *self, PyObject *args) {
    return PyLong_FromUnsignedLong((unsigned long)api.acldvppCreatePicDesc());
}

static PyObject *venc_create_frame_config(PyObject *self, PyObject *args) {
    return PyLong_FromUnsignedLong((unsigned long)api.aclvencCreateFrameConfig());
}

/* name(pointer, number) -> code */
#define SETTER(python, c, type)                                                                                        \
    static PyObject *python(PyObject *self, PyObject *args) {                                                          \
        unsigned long desc, value;                                                                                     \
        if (!PyArg_ParseTuple(args, "kk", &desc, &value))                                                              \
            return NULL;                                                                                               \
        return Py_BuildValue("i", api.c((void *)desc, (type)value));                                                   \
    }

/* name(pointer) -> number */
#define GETTER(python, c)                                                                                              \
    static PyObject *python(PyObject *self, PyObject *args) {                                                          \
        unsigned long desc;                                                                                            \
        if (!PyArg_ParseTuple(args, "k", &desc))                                                                       \
            return NULL;                                                                                               \
        return Py_BuildValue("k", (unsigned long)api.c((void *)desc));                                                 \
    }

#define SETTERS(X)                                                                                                     \
    X(venc_set_channel_desc_thread_id, aclvencSetChannelDescThreadId, uint64_t)                                        \
    X(venc_set_channel_desc_entype, aclvencSetChannelDescEnType, acldvppStreamFormat)                                  \
    X(venc_set_channel_desc_pic_format, aclvencSetChannelDescPicFormat, acldvppPixelFormat)                            \
    X(venc_set_channel_desc_pic_width, aclvencSetChannelDescPicWidth, uint32_t)                                        \
    X(venc_set_channel_desc_pic_height, aclvencSetChannelDescPicHeight, uint32_t)                                      \
    X(venc_set_channel_desc_key_frame_interval, aclvencSetChannelDescKeyFrameInterval, uint32_t)                       \
    X(dvpp_set_pic_desc_data, acldvppSetPicDescData, void *)                                                           \
    X(dvpp_set_pic_desc_size, acldvppSetPicDescSize, uint32_t)                                                         \
    X(dvpp_set_pic_desc_format, acldvppSetPicDescFormat, acldvppPixelFormat)                                           \
    X(dvpp_set_pic_desc_width, acldvppSetPicDescWidth, uint32_t)                                                       \
    X(dvpp_set_pic_desc_height, acldvppSetPicDescHeight, uint32_t)                                                     \
    X(dvpp_set_pic_desc_width_stride, acldvppSetPicDescWidthStride, uint32_t)                                          \
    X(dvpp_set_pic_desc_height_stride, acldvppSetPicDescHeightStride, uint32_t)

#define GETTERS(X)                                                                                                     \
    X(venc_get_channel_desc_pic_width, aclvencGetChannelDescPicWidth)                                                  \
    X(dvpp_get_stream_desc_data, acldvppGetStreamDescData)                                                             \
    X(dvpp_get_stream_desc_size, acldvppGetStreamDescSize)                                                             \
    X(dvpp_get_stream_desc_ret_code, acldvppGetStreamDescRetCode)                                                      \
    X(dvpp_destroy_pic_desc, acldvppDestroyPicDesc)                                                                    \
    X(dvpp_free, acldvppFree)                                                                                          \
    X(venc_create_channel, aclvencCreateChannel)                                                                       \
    X(venc_destroy_channel_desc, aclvencDestroyChannelDesc)                                                            \
    X(venc_destroy_frame_config, aclvencDestroyFrameConfig)                                                            \
    X(set_context, aclrtSetCurrentContext)                                                                             \
    X(destroy_context, aclrtDestroyContext)

SETTERS(SETTER)
GETTERS(GETTER)

static PyObject *venc_set_channel_desc_callback(PyObject *self, PyObject *args) {
    unsigned long desc;
    PyObject *callback;
    if (!PyArg_ParseTuple(args, "kO", &desc, &callback))
        return NULL;
    for (int i = 0; i < CHANNELS; i++) {
        if (!channels[i].desc || channels[i].desc == (void *)desc) {
            Py_INCREF(callback);
            Py_XSETREF(channels[i].callback, callback);
            channels[i].desc = (void *)desc;
            break;
        }
    }
    return Py_BuildValue("i", api.aclvencSetChannelDescCallback((void *)desc, trampoline));
}

static PyObject *venc_destroy_channel(PyObject *self, PyObject *args) {
    unsigned long desc;
    int code;
    if (!PyArg_ParseTuple(args, "k", &desc))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    code = api.aclvencDestroyChannel((void *)desc);
    Py_END_ALLOW_THREADS;
    for (int i = 0; i < CHANNELS; i++) {
        if (channels[i].desc == (void *)desc) {
            Py_CLEAR(channels[i].callback);
            channels[i].desc = NULL;
        }
    }
    return Py_BuildValue("i", code);
}

static PyObject *venc_send_frame(PyObject *self, PyObject *args) {
    unsigned long desc, input, reserve, config;
    PyObject *data;
    int code;
    if (!PyArg_ParseTuple(args, "kkkkO", &desc, &input, &reserve, &config, &data))
        return NULL;
    if (!callback_of((void *)desc)) {
        PyErr_SetString(PyExc_RuntimeError, "no callback");
        return NULL;
    }
    user_block *block = malloc(sizeof *block);
    block->desc = (void *)desc;
    block->data = data;
    Py_INCREF(data);
    Py_BEGIN_ALLOW_THREADS;
    code = api.aclvencSendFrame((void *)desc, (void *)input, (void *)reserve, (void *)config, block);
    Py_END_ALLOW_THREADS;
    return Py_BuildValue("i", code);
}

static PyObject *process_report(PyObject *self, PyObject *args) {
    int timeout, code;
    if (!PyArg_ParseTuple(args, "i", &timeout))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    code = api.aclrtProcessReport(timeout);
    Py_END_ALLOW_THREADS;
    return Py_BuildValue("i", code);
}

static PyObject *memory_copy(PyObject *self, PyObject *args) {
    unsigned long to, room, from, size;
    int direction;
    if (!PyArg_ParseTuple(args, "kkkki", &to, &room, &from, &size, &direction))
        return NULL;
    return Py_BuildValue("i", api.aclrtMemcpy((void *)to, room, (void *)from, size, direction)); /* with the GIL */
}

static PyObject *dvpp_malloc(PyObject *self, PyObject *args) {
    unsigned long size;
    void *memory = NULL;
    if (!PyArg_ParseTuple(args, "k", &size))
        return NULL;
    int code = api.acldvppMalloc(&memory, size);
    return Py_BuildValue("(ki)", (unsigned long)memory, code);
}

static PyObject *create_context(PyObject *self, PyObject *args) {
    int device;
    aclrtContext context = NULL;
    if (!PyArg_ParseTuple(args, "i", &device))
        return NULL;
    int code = api.aclrtCreateContext(&context, device);
    return Py_BuildValue("(ki)", (unsigned long)context, code);
}

static PyObject *init(PyObject *self, PyObject *args) {
    return Py_BuildValue("i", api.aclInit(NULL));
}

static PyObject *finalize(PyObject *self, PyObject *args) {
    return Py_BuildValue("i", api.aclFinalize());
}

/* As shipped: a warning that is filtered, and numpy's C interface imported, on each call. */
static PyObject *numpy_to_ptr(PyObject *self, PyObject *args) {
    PyObject *array;
    if (!PyArg_ParseTuple(args, "O", &array))
        return NULL;
    if (PyErr_WarnEx(PyExc_DeprecationWarning, "numpy_to_ptr is deprecated, use bytes_to_ptr", 1) < 0)
        return NULL;
    PyObject *module = PyImport_ImportModule("numpy");
    if (!module)
        return NULL;
    PyObject *interface = PyObject_GetAttrString(module, "_ARRAY_API");
    PyErr_Clear();
    Py_XDECREF(interface);
    Py_DECREF(module);
    Py_buffer view;
    if (PyObject_GetBuffer(array, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    unsigned long address = (unsigned long)view.buf;
    PyBuffer_Release(&view);
    return PyLong_FromUnsignedLong(address);
}

static PyMethodDef methods[] = {
#define METHOD(python, ...) {#python, python, METH_VARARGS, NULL},
    SETTERS(METHOD) GETTERS(METHOD) METHOD(load) METHOD(venc_create_channel_desc) METHOD(dvpp_create_pic_desc)
        METHOD(venc_create_frame_config) METHOD(venc_set_channel_desc_callback) METHOD(venc_destroy_channel)
            METHOD(venc_send_frame) METHOD(process_report) METHOD(dvpp_malloc) METHOD(create_context) METHOD(init)
                METHOD(finalize) METHOD(numpy_to_ptr){"memcpy", memory_copy, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "pyacl_shape", "pyACL shape (stand-in)", -1, methods};

PyMODINIT_FUNC PyInit_pyacl_shape(void) {
    return PyModule_Create(&module);
}
