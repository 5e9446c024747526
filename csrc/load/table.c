// SPDX-License-Identifier: Apache-2.0
#include "load/table.h"
#include "base/status.h"
#include "load/paths.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct function_entry {
    const char *name;
    size_t offset; /* of the pointer in acl_api */
    bool media;
    bool required;
} function_entry;

enum { RUNTIME = 0, MEDIA = 1, OPTIONAL = 0, REQUIRED = 1 };

static const function_entry functions[] = {
#define ENTRY(library, presence, ret, name, params) {#name, offsetof(acl_api, name), library, presence},
    ACL_FUNCTIONS(ENTRY)
#undef ENTRY
};
#define FUNCTION_COUNT (sizeof functions / sizeof functions[0])

const char *avenc_function_name(size_t index) {
    return index < FUNCTION_COUNT ? functions[index].name : NULL;
}

const char *avenc_function_library(size_t index) {
    return index < FUNCTION_COUNT ? (functions[index].media ? "MEDIA" : "RUNTIME") : NULL;
}

int avenc_function_required(size_t index) {
    return index < FUNCTION_COUNT && functions[index].required;
}

int avi_fill_table(acl_api *api, void *runtime, const char *runtime_path, void *media, const char *media_path) {
    char missing[1024] = "";
    for (size_t i = 0; i < FUNCTION_COUNT; i++) {
        const function_entry *entry = &functions[i];
        void *symbol = avi_symbol(entry->media ? media : runtime, entry->name);
        if (!symbol)
            symbol = avi_symbol(entry->media ? runtime : media, entry->name);
        if (!symbol && entry->required)
            avi_append(missing, sizeof missing, "%s%s (%s)", missing[0] ? ", " : "", entry->name,
                       entry->media ? media_path : runtime_path);
        memcpy((char *)api + entry->offset, &symbol, sizeof symbol);
    }
    if (missing[0])
        return avi_fail(AVENC_E_SYMBOL, "dlsym",
                        "the library lacks functions that every version with video encoding has: %s", missing);
    return AVENC_OK;
}

typedef struct himpi_entry {
    const char *name;
    size_t offset; /* of the pointer in himpi_api */
    bool required;
} himpi_entry;

static const himpi_entry himpi_functions[] = {
#define ENTRY(presence, ret, name, params) {#name, offsetof(himpi_api, name), presence},
    HIMPI_FUNCTIONS(ENTRY)
#undef ENTRY
};

void avi_fill_himpi(himpi_api *api, void *mpi, char *missing, size_t size) {
    for (size_t i = 0; i < sizeof himpi_functions / sizeof himpi_functions[0]; i++) {
        const himpi_entry *entry = &himpi_functions[i];
        void *symbol = avi_symbol(mpi, entry->name);
        if (!symbol && entry->required)
            avi_append(missing, size, "%s%s", missing[0] ? ", " : "", entry->name);
        memcpy((char *)api + entry->offset, &symbol, sizeof symbol);
    }
}

static int is_set(const void *api, size_t offset) {
    void *pointer;
    memcpy(&pointer, (const char *)api + offset, sizeof pointer);
    return pointer != NULL;
}

int avi_table_has(const acl_api *api, const himpi_api *himpi, const char *function) {
    for (size_t i = 0; i < FUNCTION_COUNT; i++)
        if (strcmp(functions[i].name, function) == 0)
            return is_set(api, functions[i].offset);
    for (size_t i = 0; i < sizeof himpi_functions / sizeof himpi_functions[0]; i++)
        if (strcmp(himpi_functions[i].name, function) == 0)
            return himpi && is_set(himpi, himpi_functions[i].offset);
    return avi_fail(AVENC_E_INVALID, "avenc_library_has", "\"%s\" is not in the list of functions", function);
}
