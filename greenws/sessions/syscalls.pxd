# REPLACES the functions of syscalls.py in every compiled module that cimports this file.

# The socket's own methods look at its timeout, let other threads in, and raise an exception where
# there is nothing to read. With them, an echo among 2,000 connections costs 4 to 12 % more CPU
# time, and a ping-pong 2 to 4. Only public calls are made. Once the methods are as quick, this file
# can go, and with it the descriptor in SocketTransport.
cdef extern from *:
    """
    #ifdef MS_WINDOWS

    CYTHON_UNUSED static PyObject *greenws_unless_blocked(PyObject *count) {
        if (count == NULL && PyErr_ExceptionMatches(PyExc_BlockingIOError)) {
            PyErr_Clear();
            Py_RETURN_NONE;
        }
        return count;
    }

    CYTHON_UNUSED static PyObject *greenws_receive(
            PyObject *sock, int fileno, PyObject *buffer, Py_ssize_t size) {
        (void)fileno;
        return greenws_unless_blocked(PyObject_CallMethod(sock, "recv_into", "On", buffer, size));
    }

    CYTHON_UNUSED static PyObject *greenws_send(PyObject *sock, int fileno, PyObject *data) {
        (void)fileno;
        return greenws_unless_blocked(PyObject_CallMethod(sock, "send", "O", data));
    }

    #else

    #include <errno.h>
    #include <sys/socket.h>

    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0  /* the interpreter ignores SIGPIPE, unless it was told otherwise */
    #endif

    /* Bytes of a send during which no other thread is let in: the kernel copies 32 KiB in some
       microseconds, and a thread that gets the lock may keep it for 5 ms. */
    #define GREENWS_SMALL 32768

    /* Returns the number as an object, or None if the call would have had to wait. NULL without an
       error set: call again. */
    CYTHON_UNUSED static PyObject *greenws_result(Py_ssize_t count, int error) {
        if (count >= 0)
            return PyLong_FromSsize_t(count);
        if (error == EAGAIN || error == EWOULDBLOCK)
            Py_RETURN_NONE;
        if (error == EINTR) {
            (void)PyErr_CheckSignals();  /* a handler of the user's may raise */
        } else {
            errno = error;
            PyErr_SetFromErrno(PyExc_OSError);
        }
        return NULL;
    }

    CYTHON_UNUSED static PyObject *greenws_receive(
            PyObject *sock, int fileno, PyObject *buffer, Py_ssize_t size) {
        Py_buffer view;
        PyObject *result;
        (void)sock;
        if (size < 0) {
            PyErr_SetString(PyExc_ValueError, "negative size to receive");
            return NULL;
        }
        if (PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE) < 0)
            return NULL;
        if (size > view.len)
            size = view.len;
        do {
            Py_ssize_t count = recv(fileno, view.buf, (size_t)size, MSG_DONTWAIT);
            result = greenws_result(count, errno);
        } while (result == NULL && !PyErr_Occurred());
        PyBuffer_Release(&view);
        return result;
    }

    CYTHON_UNUSED static PyObject *greenws_send(PyObject *sock, int fileno, PyObject *data) {
        Py_buffer view;
        PyObject *result;
        (void)sock;
        if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
            return NULL;
        do {
            Py_ssize_t count;
            int error;
            if (view.len <= GREENWS_SMALL) {
                count = send(fileno, view.buf, (size_t)view.len, MSG_DONTWAIT | MSG_NOSIGNAL);
                error = errno;
            } else {
                Py_BEGIN_ALLOW_THREADS
                count = send(fileno, view.buf, (size_t)view.len, MSG_DONTWAIT | MSG_NOSIGNAL);
                error = errno;
                Py_END_ALLOW_THREADS
            }
            result = greenws_result(count, error);
        } while (result == NULL && !PyErr_Occurred());
        PyBuffer_Release(&view);
        return result;
    }

    #endif
    """
    object receive "greenws_receive"(object sock, int fileno, object buffer, Py_ssize_t size)
    object send "greenws_send"(object sock, int fileno, object data)
