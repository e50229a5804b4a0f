# The C of native.py: inlined into the modules that cimport it, no module of its own.

cdef extern from *:
    """
    #include <string.h>
    #include <structmember.h>
    #include <time.h>

    static CYTHON_INLINE double greenws_time(void) {
        struct timespec now;
        timespec_get(&now, TIME_UTC);
        return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    }

    /* The Exception that was raised, or None; any other BaseException is raised. */
    static CYTHON_UNUSED PyObject *greenws_take_exception(void) {
        PyObject *type, *value, *traceback;
        if (!PyErr_ExceptionMatches(PyExc_Exception))
            return NULL;
        PyErr_Fetch(&type, &value, &traceback);
        PyErr_NormalizeException(&type, &value, &traceback);
        if (traceback != NULL)
            PyException_SetTraceback(value, traceback);
        Py_XDECREF(type);
        Py_XDECREF(traceback);
        return value;
    }

    static CYTHON_INLINE PyObject *greenws_call(PyObject *handler, PyObject *argument) {
        PyObject *result, *arguments[3];
        /* A method is called as the function it is, without a look at what it is first. */
        if (PyMethod_Check(handler)) {
            arguments[0] = NULL;
            arguments[1] = PyMethod_GET_SELF(handler);
            arguments[2] = argument;
            Py_INCREF(handler);
            result = PyObject_Vectorcall(
                PyMethod_GET_FUNCTION(handler), arguments + 1,
                2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
            Py_DECREF(handler);
        } else {
            arguments[0] = NULL;
            arguments[1] = argument;
            result = PyObject_Vectorcall(
                handler, arguments + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
        }
        if (result == NULL)
            return greenws_take_exception();
        Py_DECREF(result);
        Py_RETURN_NONE;
    }

    /* Nearly all text is ASCII. A short one is copied while it is looked at; a long one that turns
       out to be something else would have been copied for nothing. */
    #define GREENWS_SHORT_TEXT 1024

    /* The characters for which a short text has room: the allocator rounds up to 16 bytes. */
    #define GREENWS_ROOM(size) \
        ((((Py_ssize_t)sizeof(PyASCIIObject) + (size) + 16) & ~(Py_ssize_t)15) \
         - (Py_ssize_t)sizeof(PyASCIIObject) - 1)

    /* Whether nobody has a reference to a text but the caller, and it can become another one. */
    static CYTHON_INLINE int greenws_is_renewable(PyObject *spare, Py_ssize_t room) {
    #if PY_VERSION_HEX < 0x030F0000 && !defined(Py_GIL_DISABLED)
        return PyUnicode_CheckExact(spare) && Py_REFCNT(spare) == 1
            && PyUnicode_IS_COMPACT_ASCII(spare) && !PyUnicode_CHECK_INTERNED(spare)
    #if PY_VERSION_HEX < 0x030C0000
            && ((PyASCIIObject *)spare)->wstr == NULL
    #endif
            && GREENWS_ROOM(PyUnicode_GET_LENGTH(spare)) == room;
    #else
        (void)spare;
        (void)room;
        return 0;
    #endif
    }

    static CYTHON_INLINE PyObject *greenws_decode_utf8(
            const unsigned char *data, Py_ssize_t start, Py_ssize_t stop, PyObject *spare) {
        Py_ssize_t size = stop - start, i;
        unsigned char seen = 0;
        PyObject *text;
        data += start;
        /* Empty texts and single characters are singletons of the interpreter. */
        if (size > 1 && size <= GREENWS_SHORT_TEXT) {
            Py_ssize_t room = GREENWS_ROOM(size);
            unsigned char *copy;
            if (greenws_is_renewable(spare, room)) {
                text = spare;
                Py_INCREF(text);
            } else {
                text = PyUnicode_New(room, 127);
                if (text == NULL)
                    return NULL;
            }
            copy = PyUnicode_1BYTE_DATA(text);
            for (i = 0; i < size; i++) {
                copy[i] = data[i];
                seen |= data[i];
            }
            if (seen < 128) {
                copy[size] = 0;
                ((PyASCIIObject *)text)->length = size;
                ((PyASCIIObject *)text)->hash = -1;
                return text;
            }
            Py_DECREF(text);
        }
        text = PyUnicode_DecodeUTF8((const char *)data, size, NULL);
        if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
            PyErr_Clear();
            Py_RETURN_NONE;
        }
        return text;
    }

    static CYTHON_INLINE Py_ssize_t greenws_extend(PyObject *out, Py_ssize_t count) {
        Py_ssize_t start = PyByteArray_GET_SIZE(out);
        return PyByteArray_Resize(out, start + count) < 0 ? -1 : start;
    }

    /* What is behind a member is never NULL, as C code relies on it. */
    static CYTHON_UNUSED int greenws_set_attribute(
            PyObject *instance, PyObject *name, PyObject *value) {
        if (value == NULL) {
            PyErr_Format(PyExc_AttributeError, "%R cannot be deleted", name);
            return -1;
        }
        return PyObject_GenericSetAttr(instance, name, value);
    }

    /* Have an attribute of a class read as fast as one of __slots__: the interpreter has a short way
       for members, and none for what Cython makes. Where the value lies is found by looking for it
       in an instance. */
    #define GREENWS_MEMBERS 8

    static CYTHON_UNUSED int greenws_make_member(PyObject *instance, const char *name, PyObject *value) {
        static PyMemberDef members[GREENWS_MEMBERS];
        static int used;
        PyTypeObject *type = Py_TYPE(instance);
        Py_ssize_t offset = sizeof(PyObject);
        PyObject *descriptor;
        PyMemberDef *member;
        int failed;
        while (offset < type->tp_basicsize && *(PyObject **)((char *)instance + offset) != value)
            offset += sizeof(PyObject *);
        if (offset >= type->tp_basicsize || used == GREENWS_MEMBERS)
            return 0;
        member = &members[used++];
        member->name = name;
        member->type = T_OBJECT_EX;
        member->offset = offset;
        descriptor = PyDescr_NewMember(type, member);
        if (descriptor == NULL)
            return -1;
        type->tp_setattro = greenws_set_attribute;
        failed = PyDict_SetItemString(type->tp_dict, name, descriptor);
        Py_DECREF(descriptor);
        PyType_Modified(type);
        return failed;
    }

    #define GREENWS_SMALL_BUFFER 4096

    static CYTHON_INLINE int greenws_empty(PyObject *buffer) {
    #if PY_VERSION_HEX < 0x030F0000 && !defined(Py_GIL_DISABLED)
        /* PyByteArray_Resize would give the memory back. */
        PyByteArrayObject *array = (PyByteArrayObject *)buffer;
        if (array->ob_exports == 0 && array->ob_alloc > 0
                && array->ob_alloc <= GREENWS_SMALL_BUFFER) {
            array->ob_start = array->ob_bytes;
            array->ob_bytes[0] = 0;
            Py_SET_SIZE(array, 0);
            return 0;
        }
    #endif
        return PyByteArray_Resize(buffer, 0);
    }

    static CYTHON_INLINE int greenws_is_unshared(PyObject *value) {
    #ifdef Py_GIL_DISABLED
        return 0;  /* other threads may have borrowed it */
    #else
        return Py_REFCNT(value) == 1;
    #endif
    }
    """
    double time "greenws_time"() noexcept
    unsigned long long get_ident "PyThread_get_thread_ident"() noexcept
    object call "greenws_call"(object handler, object argument)
    str decode_utf8 "greenws_decode_utf8"(
        const unsigned char *data, Py_ssize_t start, Py_ssize_t stop, object spare
    )
    int empty "greenws_empty"(bytearray buffer) except -1
    bytes encode_utf8 "PyUnicode_AsUTF8String"(object text)
    Py_ssize_t extend "greenws_extend"(bytearray out, Py_ssize_t count) except -1
    int make_member "greenws_make_member"(
        object instance, const char *name, object value
    ) except -1
    bint is_unshared "greenws_is_unshared"(object value) noexcept
